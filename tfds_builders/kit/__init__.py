"""What all builders share: records, archive checks, resumable building, fake archives."""
