"""From the bytes of any picture file to pixels."""
