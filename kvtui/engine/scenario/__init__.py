"""The scenario: all that the user chose, frozen, and the options it is chosen with."""
