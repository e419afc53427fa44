"""How often the collector looks, and when it sends second by second."""
