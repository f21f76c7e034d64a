"""Restore a photograph from Python, look at its candidates, and measure the gain.

python examples/restore.py
"""

from pathlib import Path

import restorekit
from restorekit import images
from restorekit.evaluation import Protocol, score_pair

here = Path(__file__).parent
blurred, sharp = (images.read(here / name) for name in ("lighthouse-blurred.jpg", "lighthouse.jpg"))

restorer = restorekit.Restorer.from_card("multi-output-compact")
result = restorer(blurred, candidates=True)
result.save("lighthouse-restored.jpg")
print(f"restored on {result.run}")

protocol = Protocol()
print(f"PSNR and SSIM ({protocol.name}):")
for name, image in {"blurred": blurred, "restored": result.image, **dict(enumerate(result.candidates, start=1))}.items():
    score = score_pair(str(name), image, sharp, protocol)
    print(f"  {name:>10}  {score.psnr:.2f} dB  {score.ssim:.4f}")
