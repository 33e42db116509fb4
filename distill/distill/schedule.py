"""What changes with the number of samples seen: one schedule spans every run of a training."""

import dataclasses

import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Warm-up, constant, then a linear decay to zero; all lengths in samples.

    The weight of the energy error rises over the decay: forces teach the shape of the surface from every frame,
    the constant of each molecule is settled at the end.
    """

    rate: float = 1.5e-3
    warmup: float = 2e5
    decay_from: float = 4e7
    total: float = 6e7
    energy_weight: float = 1.0
    energy_weight_final: float = 4.0

    def array(self):
        """All of it in the order of the fields, (6,) float32, as a compiled step takes it."""
        return jnp.array(dataclasses.astuple(self), jnp.float32)

    def decay(self, samples):
        """0 before the decay, 1 at its end."""
        return jnp.clip((samples - self.decay_from) / jnp.maximum(self.total - self.decay_from, 1.0), 0.0, 1.0)

    def learning_rate(self, samples):
        return self.rate * jnp.clip(samples / jnp.maximum(self.warmup, 1.0), 0.01, 1.0) * (1.0 - self.decay(samples))

    def weight_of_energy(self, samples):
        return self.energy_weight + (self.energy_weight_final - self.energy_weight) * self.decay(samples)
