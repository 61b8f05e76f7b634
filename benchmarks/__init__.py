"""What is measured, as the tool does it: its choices for OpenMP count only if they are made before torch is loaded."""

import nst_video as nst_video
