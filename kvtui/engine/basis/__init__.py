"""What every other room stands on: units, errors, text from outside, tables, and where files are."""
