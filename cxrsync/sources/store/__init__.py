"""Stores in the cloud as sources: S3 and Google Cloud, and what speaks as they do."""
