"""Drawing a figure: plotext, the canvas's cells, and matplotlib where it is installed."""
