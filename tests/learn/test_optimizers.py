import numpy as np
import pytest
import torch

from qcaan.learn.optimizers import Adam, SpallGains


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


def test_the_first_step_of_spalls_gains_has_the_length_asked_for():
    theta = SpallGains(0.1, updates=30).step(np.zeros(4), np.array([2.0, -2, 2, 2]))
    np.testing.assert_allclose(theta, [-0.1, 0.1, -0.1, -0.1])


def test_the_gain_follows_the_magnitude_of_single_estimates_where_the_gradient_is_a_mean_of_many():
    theta = SpallGains(0.1, updates=30).step(np.zeros(2), np.array([0.5, -0.5]), 2.0)
    np.testing.assert_allclose(theta, [-0.025, 0.025])


def test_spalls_gains_decay_within_a_target_and_start_again_with_the_next():
    gains = SpallGains(0.1, updates=30)
    gains.begin()
    unit = np.ones(1)
    lengths = [-gains.step(np.zeros(1), unit)[0] for _ in range(30)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[29] / lengths[0] == pytest.approx((4 / 33) ** 0.602)
    gains.begin()
    assert -gains.step(np.zeros(1), np.ones(1), 99.0)[0] == pytest.approx(lengths[0])


@pytest.mark.parametrize("make", [lambda: Adam(3, 0.1), lambda: SpallGains(0.1, 10)], ids=["adam", "spall"])
def test_an_optimizer_goes_on_where_its_state_was_taken(make):
    rng = np.random.default_rng(2)
    gradients = rng.normal(size=(8, 3))
    one, theta = make(), np.zeros(3)
    for gradient in gradients[:4]:
        theta = one.step(theta, gradient)
    other = make()
    other.load_state(one.state())
    assert other.iteration == one.iteration == 4
    for gradient in gradients[4:]:
        a, b = one.step(theta, gradient), other.step(theta, gradient)
        assert np.array_equal(a, b)
        theta = a
