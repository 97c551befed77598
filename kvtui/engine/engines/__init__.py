"""The serving engines by name: releases, what each sets aside, and the type their answers have."""
