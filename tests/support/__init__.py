"""What several tests share: the blob server, the fault proxy, and other programs that read and write blobs."""
