"""``model.toml``: every mistake is named, and nothing is guessed."""

import pytest

from predict_worker.core.errors import InvalidRepository
from predict_worker.core.spec import BatchPolicy
from predict_worker.repository.manifest import Manifest, VersionPolicy, parse_manifest

FULL = """
artefact = "keras"
inputs_finite = true
outputs_finite = true
timeout_s = 5
queue_max_jobs = 10
[batch]
max_rows = 32
max_bytes = 1000
linger_ms = 1.5
pad_to = [8, 1]
[versions]
policy = "specific"
specific = [3, 1]
[labels]
stable = 3
[canary]
canary = 0.05
[transforms]
pre = "decode_image"
post = "top_k"
[image]
input = "x"
height = 8
width = 8
channels = 1
scale = "0..1"
[[warmup]]
file = "a.npy"
[[warmup]]
file = "b.npz"
"""


def test_every_section_is_read():
    assert parse_manifest(FULL) == Manifest(
        artefact="keras",
        inputs_finite=True,
        outputs_finite=True,
        timeout_s=5,
        queue_max_jobs=10,
        batch=BatchPolicy(32, 1000, 1.5, (1, 8)),
        versions=VersionPolicy("specific", 1, (3, 1)),
        labels={"stable": 3},
        warmup=("a.npy", "b.npz"),
        without_effect=("canary", "transforms", "image"),
    )


def test_an_empty_file_means_the_defaults():
    assert parse_manifest("") == Manifest()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("max_rows = 3", "unknown key 'max_rows'"),
        ("[batch]\nmax_row = 3", "unknown key 'batch.max_row'"),
        ("[bach]\nmax_rows = 3", "unknown key 'bach'"),
        ("[batch]\nmax_rows = '3'", "batch.max_rows: expected a whole number of 1 or more, got '3'"),
        ("[batch]\nmax_rows = true", "batch.max_rows"),
        ("[batch]\nmax_rows = 0", "batch.max_rows"),
        ("[batch]\nlinger_ms = -1", "batch.linger_ms"),
        ("[batch]\nlinger_ms = 1001", "batch.linger_ms"),
        ("[batch]\npad_to = 8", "batch.pad_to: expected a list, each a whole number"),
        ("[batch]\npad_to = [8, 'x']", "batch.pad_to"),
        ("[batch]\npad_to = [65]", "batch.pad_to: expected no size above"),
        ("batch = 3", "batch: expected a [batch] table"),
        ("timeout_s = 0", "timeout_s"),
        ("timeout_s = nan", "timeout_s"),
        ("timeout_s = inf", "timeout_s"),
        ("inputs_finite = 1", "inputs_finite: expected true or false"),
        ("artefact = 'pickle'", "artefact: expected one of saved_model"),
        ("[versions]\npolicy = 'newest'", "versions.policy"),
        ("[versions]\nspecific = ['1']", "versions.specific"),
        ("[labels]\nstable = 'x'", "labels.stable"),
        ("[canary]\nstable = 1.5", "canary.stable: expected a number of 0 to 1"),
        ("[image]\nheight = 1.5", "image.height"),
        ("[transforms]\npre = ''", "transforms.pre"),
        ("[warmup]\nfile = 'a.npy'", "warmup: expected [[warmup]]"),
        ("warmup = [1]", "warmup: expected [[warmup]]"),
        ("[[warmup]]\nfiel = 'a.npy'", "warmup"),
        ("[[warmup]]\nfile = 3", "warmup.file"),
        ("= 3", "model.toml: "),
    ],
)
def test_a_mistake_is_named(text, named):
    with pytest.raises(InvalidRepository) as refused:
        parse_manifest(text)
    assert named in refused.value.detail


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (VersionPolicy(), (12,)),
        (VersionPolicy(count=2), (3, 12)),
        (VersionPolicy(count=9), (1, 3, 12)),
        (VersionPolicy("all"), (1, 3, 12)),
        (VersionPolicy("specific", specific=(3, 7)), (3,)),
    ],
)
def test_the_policy_chooses_versions(policy, wanted):
    assert policy.wanted({12: None, 1: None, 3: None}) == wanted
