"""Found by every Python process that has this directory on its path: all loggers say everything, whoever asks for less.

Not for products: it is how a test hears what a program would say at its loudest.
"""

import logging
import sys

logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
# At DEBUG it adds every row it reads, which takes most of the time; the tables are looked into themselves.
logging.getLogger("sqlalchemy.engine").setLevel(logging.INFO)
logging.Logger.setLevel = lambda _self, _level: None  # type: ignore[method-assign]
