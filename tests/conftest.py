"""What all tests share."""

import torch
from hypothesis import settings

# No deadline: a busy machine is slow, not wrong.
settings.register_profile("nextword", max_examples=60, deadline=None)
settings.load_profile("nextword")

# Tensors in tests are tiny: handing them to a second thread costs more than it saves.
torch.set_num_threads(1)
