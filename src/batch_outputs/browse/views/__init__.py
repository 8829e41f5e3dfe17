"""What answers each address: asks the library, and shows what it says."""
