"""The tests trust no certificate authority of this machine: a command reads them in 35 ms."""

import os

NO_AUTHORITIES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
