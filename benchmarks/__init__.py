"""What proves the claims about speed: `python -m benchmarks.NAME`, under the same environment as the stages."""

from digits.foundation.command import begin

begin()
