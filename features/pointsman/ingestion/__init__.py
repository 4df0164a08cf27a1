"""From exports of any size and format to one trace table, partition by partition, in order of time."""

from __future__ import annotations
