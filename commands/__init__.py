"""What people run beside the pipeline: `python -m commands.NAME`.

Python runs this file before a command's own first line, and so before the command imports its libraries.
"""

from digits.foundation.command import begin

begin()
