"""The Memory screen: the picture of what fills a device."""
