"""What neuroscientists and statisticians measure on filters, responses and codes: arrays in, arrays out."""
