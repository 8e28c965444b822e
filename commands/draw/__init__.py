"""A page to draw on: `python -m commands.draw`.

__main__.py starts it, server.py has its addresses, reader.py the network, decoding.py what reads pictures, drawings.py
what is kept; page.html, page.js and page.css are the page.
"""
