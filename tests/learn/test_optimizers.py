import numpy as np
import torch

from qcaan.learn.optimizers import Adam


def test_adam_is_adam():
    rng = np.random.default_rng(1)
    theta = rng.normal(size=5)
    reference = torch.nn.Parameter(torch.from_numpy(theta.copy()))
    optimizer = torch.optim.Adam([reference], lr=0.05)
    ours = Adam(5, 0.05)
    for _ in range(20):
        gradient = rng.normal(size=5)
        theta = ours.step(theta, gradient)
        reference.grad = torch.from_numpy(gradient)
        optimizer.step()
    np.testing.assert_allclose(theta, reference.detach().numpy(), atol=1e-12)


def test_it_goes_on_where_its_state_was_taken():
    rng = np.random.default_rng(2)
    gradients = rng.normal(size=(8, 3))
    one, theta = Adam(3, 0.1), np.zeros(3)
    for gradient in gradients[:4]:
        theta = one.step(theta, gradient)
    other = Adam(3, 0.1)
    other.load_state(one.state())
    for gradient in gradients[4:]:
        a, b = one.step(theta, gradient), other.step(theta, gradient)
        assert np.array_equal(a, b)
        theta = a
