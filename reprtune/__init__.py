"""Does RePr make your network better, which of its parts does it, and with which settings?"""

__version__ = "0.1.0"
