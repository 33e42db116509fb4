"""Stage 3: the student from labelled frames.

    python -m distill.train --train 'labels/train-*.npz' --valid 'labels/valid-*.npz' --checkpoint student.npz \\
        --minutes 25 --total 6e7 --decay-from 4e7

One learning-rate schedule, counted in samples, spans all runs: a second run with --resume and fresh shards goes on
where the first stopped, moments and all.  Progress goes to standard output and, as JSON lines, to --log.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np

from . import checkpoint, dataset, step
from .model import Config
from .predict import by_temperature, predict
from .schedule import Schedule
from .step import Settings

WITHHELD = 20


class Stream:
    """Batches of one bucket without replacement: a fresh permutation each epoch."""

    def __init__(self, bucket, batch, random):
        self.bucket, self.batch, self.random, self.epoch = bucket, batch, random, 0
        self.shuffle()

    def shuffle(self):
        self.order = jnp.asarray(self.random.permutation(len(self.bucket.frame)).astype(np.int32))
        self.start, self.epoch = 0, self.epoch + 1

    def next(self):
        if self.start + self.batch > len(self.bucket.frame):
            self.shuffle()
        self.start += self.batch
        return step.take(self.bucket.arrays, self.order, np.int32(self.start - self.batch), self.batch)


class Trainer:
    """The compiled steps of every bucket over one state."""

    def __init__(self, config, settings, buckets, state, seed, large_share=1.0):
        self.config, self.settings, self.state = config, settings, state
        self.schedule = settings.schedule.array()
        self.random = np.random.default_rng([seed, int(state["samples"])])
        self.streams = [Stream(b, settings.batch(b.size, len(b.frame)), self.random) for b in buckets]
        share = np.array([len(s.bucket.frame) * (large_share if s.bucket.size > 32 else 1.0) for s in self.streams])
        steps = share / [s.batch for s in self.streams]
        self.probability = steps / steps.sum()
        begin = time.time()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            self.steps = list(pool.map(self.compile, self.streams))
        self.compile_s = time.time() - begin

    def compile(self, stream):
        frames = step.take(stream.bucket.arrays, stream.order, np.int32(0), stream.batch)
        return step.make(self.config, self.settings).lower(self.state, self.schedule, frames).compile()

    def advance(self, samples):
        """Train on at least this many samples; (samples, mean force MAE, mean energy MAE in meV, skipped steps)."""
        begin, metrics, last = int(self.state["samples"]), [], None
        done = 0
        while done < samples:
            chosen = self.random.choice(len(self.streams), p=self.probability)
            stream = self.streams[chosen]
            self.state, metric = self.steps[chosen](self.state, self.schedule, stream.next())
            done += stream.batch
            metrics.append(metric)
            if len(metrics) % 32 == 0:  # dispatch runs ahead of the device, but not by much
                last = metrics[-32].block_until_ready()
        values = np.array([np.asarray(m) for m in metrics])
        good = values[values[:, 2] > 0]
        force, energy = good[:, :2].mean(0) * 1e3 if len(good) else (np.nan, np.nan)
        return int(self.state["samples"]) - begin, force, energy, len(values) - len(good)


def validate(trainer, frames, buckets, reference_energy_ev):
    """Errors of the averaged weights by temperature."""
    energies, forces = predict(trainer.state["average"], trainer.config, buckets, frames)
    residual = frames["energies"] - dataset.composition(frames) @ reference_energy_ev
    kept = np.isfinite(energies)
    if not kept.all():
        raise ValueError("a validation frame is larger than the largest bucket or the student gave NaN")
    return by_temperature(frames, energies - residual, forces - frames["forces"])


def describe(table):
    return "  ".join(
        f"{name}: F {row['force_mae']:.1f}/{row['force_rmse']:.1f} E {row['energy_mae']:.1f}" for name, row in table.items()
    )


def run(trainer, valid, valid_buckets, reference_energy_ev, minutes, report_samples, valid_samples, total, log, save, until=None):
    """Advance to `total` samples, the end of the minutes or until a file is there; reports, validates and saves on the way."""
    begin, history, next_valid = time.time(), [], 0
    training_s, trained = 0.0, 0
    while True:
        samples = int(trainer.state["samples"])
        finished = samples >= total or time.time() - begin > 60 * minutes or (until is not None and until.exists())
        if finished or samples >= next_valid:
            table = validate(trainer, valid, valid_buckets, reference_energy_ev)
            log({"samples": samples, "valid": table})
            history.append((samples, table))
            next_valid = samples + valid_samples
            save(trainer.state)
        if finished:
            return history, trained / max(training_s, 1e-9)
        start = time.time()
        done, force, energy, skipped = trainer.advance(min(report_samples, total - samples))
        elapsed = time.time() - start
        training_s, trained = training_s + elapsed, trained + done
        log({
            "samples": samples + done,
            "minutes": (time.time() - begin) / 60,
            "train_force_mae": float(force),
            "train_energy_mae": float(energy),
            "skipped": skipped,
            "samples_per_s": done / elapsed,
            "rate": float(trainer.settings.schedule.learning_rate(jnp.float32(samples + done))),
        })


def logger(path):
    def log(record):
        if "valid" in record:
            print(f"{record['samples']:>11,d} valid  {describe(record['valid'])}", flush=True)
        else:
            print(
                f"{record['samples']:>11,d} {record['minutes']:6.2f} min  F {record['train_force_mae']:6.1f}  "
                f"E {record['train_energy_mae']:7.1f}  rate {record['rate']:.2e}  {record['samples_per_s']:7.0f}/s"
                + (f"  skipped {record['skipped']}" if record["skipped"] else ""),
                flush=True,
            )
        if path:
            with open(path, "a") as file:
                file.write(json.dumps(record) + "\n")

    return log


def add_student_arguments(parser):
    for field in dataclasses.fields(Config):
        kind = field.type if isinstance(field.type, type) else {"int": int, "float": float, "str": str, "bool": bool}[field.type]
        name = f"--{field.name.replace('_', '-')}"
        if kind is bool:
            parser.add_argument(name, action=argparse.BooleanOptionalAction, default=field.default)
        else:
            parser.add_argument(name, type=kind, default=field.default)


def student_of(arguments):
    return Config(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Config)})


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True, help="glob patterns of labelled shards")
    parser.add_argument("--valid", nargs="+", help=f"without it one molecule in {WITHHELD} of the training shards is withheld")
    parser.add_argument("--checkpoint", required=True, help="written often, replaced each time")
    parser.add_argument("--resume", help="checkpoint to go on from; its student and optimiser are kept, --dispersion may join")
    parser.add_argument("--minutes", type=float, default=1e9, help="wall-clock limit of this run, validation included")
    parser.add_argument("--until", type=pathlib.Path, help="end as soon as this file is there: more frames, say")
    parser.add_argument("--buckets", default="16,24,32,48,64")
    parser.add_argument("--atoms-max", type=int, help="leave out larger molecules")
    parser.add_argument("--large-share", type=float, default=1.0, help="factor on how often molecules over 32 atoms are drawn")
    parser.add_argument("--optimiser", choices=("adam", "muon", "soap"), default="muon")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--warmup", type=float, default=2e5, help="samples")
    parser.add_argument("--decay-from", type=float, default=4e7, help="samples")
    parser.add_argument("--total", type=float, default=6e7, help="samples")
    parser.add_argument("--stop-at", type=float, help="samples at which this run ends; default: --total")
    parser.add_argument("--energy-weight", type=float, default=1.0)
    parser.add_argument("--energy-weight-final", type=float, default=4.0)
    parser.add_argument("--average", type=float, default=0.9995)
    parser.add_argument("--pairs", type=int, default=384 * 24 * 24, help="padded atom pairs of a batch")
    parser.add_argument("--precision", choices=("tensorfloat32", "highest"), default="tensorfloat32")
    parser.add_argument("--report-samples", type=float, default=5e5)
    parser.add_argument("--valid-samples", type=float, default=5e6)
    parser.add_argument("--valid-frames", type=int, default=8000, help="frames of each validation, spread over the shards")
    parser.add_argument("--log", help="JSON lines")
    parser.add_argument("--seed", type=int, default=1)
    add_student_arguments(parser)
    return parser.parse_args(words)


def read_frames(patterns, atoms_max, frames_max=None):
    frames = dataset.load(patterns)
    chosen = np.flatnonzero(dataset.sizes(frames) <= atoms_max)
    if frames_max and len(chosen) > frames_max:
        chosen = chosen[np.linspace(0, len(chosen) - 1, frames_max).astype(int)]
    return dataset.subset(frames, chosen)


def both_sets(arguments, atoms_max):
    """Frames to train on and to validate with; by molecule, not by frame, where one list has to serve for both."""
    frames = read_frames(arguments.train, atoms_max)
    if arguments.valid:
        return frames, read_frames(arguments.valid, atoms_max, arguments.valid_frames)
    withheld = frames["line"] % WITHHELD == 0
    valid = np.flatnonzero(withheld)[: arguments.valid_frames]
    return dataset.subset(frames, np.flatnonzero(~withheld)), dataset.subset(frames, valid)


def main(words=None):
    arguments = parse(words)
    jax.config.update("jax_default_matmul_precision", arguments.precision)
    padded = sorted(int(size) for size in arguments.buckets.split(","))
    atoms_max = min(arguments.atoms_max or max(padded), max(padded))
    frames, valid = both_sets(arguments, atoms_max)
    schedule = Schedule(
        arguments.rate, arguments.warmup, arguments.decay_from, arguments.total, arguments.energy_weight, arguments.energy_weight_final
    )
    if arguments.resume:
        state, config, settings, extra = checkpoint.load(arguments.resume)
        # It has no tensors: a student trained without it may go on with it, and learns what is left of the teacher.
        config = dataclasses.replace(config, dispersion=config.dispersion or arguments.dispersion)
        settings = dataclasses.replace(settings, schedule=schedule, pairs=arguments.pairs, average=arguments.average)
        reference_energy_ev = np.array(extra["reference_energy_ev"])
    else:
        config = student_of(arguments)
        settings = Settings(arguments.optimiser, schedule, arguments.pairs, arguments.average)
        state = step.init(jax.random.PRNGKey(arguments.seed), config, settings)
        reference_energy_ev = dataset.fit_reference_energies(frames)
    extra = {"reference_energy_ev": reference_energy_ev.tolist()}
    log = logger(arguments.log)
    buckets = dataset.buckets(frames, padded, reference_energy_ev)
    valid_buckets = dataset.buckets(valid, padded, reference_energy_ev)
    print("buckets", {b.size: len(b.frame) for b in buckets}, "validation", {b.size: len(b.frame) for b in valid_buckets})
    trainer = Trainer(config, settings, buckets, state, arguments.seed, arguments.large_share)
    count = sum(value.size for value in trainer.state["parameters"].values())
    print(f"{config}\n{settings}\n{count:,d} parameters, compiled in {trainer.compile_s:.0f} s", flush=True)
    save = lambda state: checkpoint.save(arguments.checkpoint, state, config, settings, extra)
    run(
        trainer, valid, valid_buckets, reference_energy_ev, arguments.minutes, arguments.report_samples,
        arguments.valid_samples, arguments.stop_at or arguments.total, log, save, arguments.until,
    )


if __name__ == "__main__":
    main()
