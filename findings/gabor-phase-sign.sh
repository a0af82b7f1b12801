#!/bin/sh
# The phase of a Gabor kernel has opposite signs in OpenCV and in scikit-image, and OpenCV's default is an odd kernel.
# Guess beforehand: both mean cos(2 pi f x + phase), and both begin with the even kernel.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet numpy==2.4.6 opencv-python-headless==5.0.0.93 scikit-image==0.26.0
"$folder/bin/python" - <<'PYTHON'
import cv2
import numpy as np
from skimage.filters import gabor_kernel

SIDE, FREQUENCY, SIGMA = 21, 0.15, 3.0


def opencv(phase):
    return cv2.getGaborKernel((SIDE, SIDE), SIGMA, 0.0, 1 / FREQUENCY, 1.0, phase)


def scikit_image(phase):
    kernel = gabor_kernel(FREQUENCY, sigma_x=SIGMA, sigma_y=SIGMA, n_stds=10, offset=phase).real
    middle = kernel.shape[0] // 2
    return kernel[middle - SIDE // 2 : middle + SIDE // 2 + 1, middle - SIDE // 2 : middle + SIDE // 2 + 1]


def likeness(first, second):
    return float(np.sum(first * second) / np.linalg.norm(first) / np.linalg.norm(second))


phase = np.pi / 4
same, opposite = likeness(opencv(phase), scikit_image(phase)), likeness(opencv(phase), scikit_image(-phase))
default = cv2.getGaborKernel((SIDE, SIDE), SIGMA, 0.0, 1 / FREQUENCY, 1.0)
odd = likeness(default, -default[:, ::-1])
print(f"opencv {cv2.__version__}, scikit-image 0.26.0, phase 45 degrees in both")
print(f"cosine with the same phase {same:.3f}, with the opposite one {opposite:.3f}")
print(f"OpenCV's kernel without a phase equals minus its mirror image: cosine {odd:.3f}")
assert same < 0.1 and opposite > 0.999 and odd > 0.999
PYTHON
