"""Other pictures of motion, to look at beside the papers' own.

| function | source |
|---|---|
| :func:`dynamic_image`, :func:`rank_pooling_weights` | Bilen, Fernando, Gavves, Vedaldi, Gould: Dynamic image networks (CVPR 2016) |
| :func:`rgb_difference` | Wang et al.: Temporal segment networks (ECCV 2016) |
| :func:`tvl1` | Zach, Pock, Bischof: A duality based approach for realtime TV-L1 optical flow (DAGM 2007) |
| :class:`TVNet` | Fan et al.: End-to-end learning of motion representation for video understanding (CVPR 2018) |
| :func:`farneback` | Farnebaeck: Two-frame motion estimation based on polynomial expansion (SCIA 2003), of OpenCV |
"""

from __future__ import annotations

from vizkit.baseline.coarse_to_fine import FlowSettings
from vizkit.baseline.difference import rgb_difference
from vizkit.baseline.dynamic import dynamic_image, rank_pooling_weights
from vizkit.baseline.farneback import farneback
from vizkit.baseline.tvl1 import tvl1
from vizkit.baseline.tvnet import TVNet

__all__ = ["FlowSettings", "TVNet", "dynamic_image", "farneback", "rank_pooling_weights", "rgb_difference", "tvl1"]
