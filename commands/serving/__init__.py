"""What those commands share that open a page in the browser.

listening.py starts the server, guard.py keeps others out, application.py has what each page's addresses begin with,
pixels.py makes images of arrays; base.css and base.js are of each page.
"""
