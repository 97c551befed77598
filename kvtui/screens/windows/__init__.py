"""Windows over a screen: pickers, explanations, exports, help and the palette."""
