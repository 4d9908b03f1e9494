"""One person's number: found, given out, erased, with a certificate."""
