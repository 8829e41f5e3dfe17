"""`python -m batch_outputs` is the command `batch-outputs`."""

from batch_outputs.cli import main

if __name__ == "__main__":
    main()
