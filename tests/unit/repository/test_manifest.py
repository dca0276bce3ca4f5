"""``model.toml``: every mistake is named, and nothing is guessed."""

import pytest

from predict_worker.core.errors import InvalidRepository
from predict_worker.core.spec import BatchPolicy, RetryPolicy
from predict_worker.repository.manifest import Manifest, VersionPolicy, parse_manifest
from predict_worker.repository.transforms import SHIPPED, Chosen, scale_bounds
from predict_worker.transforms.registration import registered

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
[retry]
attempts = 5
backoff_s = 0.5
max_backoff_s = 10
[versions]
policy = "specific"
specific = [3, 1]
[labels]
stable = 3
[canary]
canary = 0.05
[transforms]
pre = "decode_image"
post = "mine"
[image]
input = "x"
height = 8
width = 8
channels = 1
scale = "0..1"
fit = "pad"
invert = "auto"
trim = true
max_pixels = 1000
[mine]
whatever = ["it", "needs"]
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
        retry=RetryPolicy(5, 0.5, 10),
        versions=VersionPolicy("specific", 1, (3, 1)),
        labels={"stable": 3},
        warmup=("a.npy", "b.npz"),
        pre=Chosen(
            "decode_image",
            "image",
            {
                "input": "x",
                "height": 8,
                "width": 8,
                "channels": 1,
                "scale": "0..1",
                "fit": "pad",
                "invert": "auto",
                "trim": True,
                "max_pixels": 1000,
            },
            shipped=True,
        ),
        post=Chosen("mine", "mine", {"whatever": ["it", "needs"]}),
        canary={"canary": 0.05},
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
        ("[retry]\nattempts = 0", "retry.attempts: expected a whole number of 1 or more, got 0"),
        ("[retry]\nbackoff_s = -1", "retry.backoff_s"),
        ("[retry]\nmax_backoff_s = inf", "retry.max_backoff_s"),
        ("[retry]\njitter = 1", "unknown key 'retry.jitter'"),
        ("timeout_s = 0", "timeout_s"),
        ("timeout_s = nan", "timeout_s"),
        ("timeout_s = inf", "timeout_s"),
        ("inputs_finite = 1", "inputs_finite: expected true or false"),
        ("artefact = 'pickle'", "artefact: expected one of saved_model"),
        ("[versions]\npolicy = 'newest'", "versions.policy"),
        ("[versions]\nspecific = ['1']", "versions.specific"),
        ("[labels]\nstable = 'x'", "labels.stable"),
        ("[canary]\nstable = 1.5", "canary.stable: expected a number of 0 to 1"),
        ("[shadow]\nshare = 0.5", "shadow: expected either a version or a label"),
        ("[shadow]\nversion = 1\nlabel = 'a'", "shadow: expected either a version or a label"),
        ("[shadow]\nversion = 1\ntolerance = -1", "shadow.tolerance: expected a number of 0 or more"),
        ("[canary]\na = 0.6\nb = 0.5", "canary: expected shares of 1 together at most"),
        ("[image]\nheight = 1.5", "image.height"),
        ("[image]\nchannels = 2", "image.channels: expected one of 1, 3, 4, got 2"),
        ("[image]\nchannels = true", "image.channels"),
        ("[image]\nfit = 'cover'", "image.fit: expected one of stretch, pad, crop"),
        ("[image]\ninvert = 1", "image.invert: expected one of false, true, auto"),
        ("[image]\ncolour = 1", "unknown key 'image.colour'; known are input, height"),
        *(
            (f"[image]\nscale = {s!r}", "image.scale: expected two numbers")
            for s in ("1", "1..0", "0..0", "0..x", "0..1 ", "", 1)
        ),
        ("[transforms]\npre = ''", "transforms.pre"),
        ("[transforms]\nmid = 'x'", "unknown key 'transforms.mid'; known are pre, post"),
        ("[transforms]\npre = ['x']", "transforms.pre: expected a text"),
        ("transforms = 3", "transforms: expected a [transforms] table"),
        (
            "[transforms]\npre = 'mine'\n[image]\nheight = 8",
            "[image] without effect: transforms.pre is 'mine'",
        ),
        (
            "[image]\n[tokenise]\nvocabulary = 'v'",
            "[tokenise] without effect: transforms.pre is 'decode_image'",
        ),
        ("[transforms]\npre = 'top_k'", "transforms.pre: no pre-transform is called 'top_k'"),
        ("[transforms]\npost = 'tokenise'", "transforms.post: no post-transform is called 'tokenise'"),
        ("[transforms]\npre = 'batch'", "transforms.pre: no pre-transform is called 'batch'"),
        ("[transforms]\npre = 'warmup'", "transforms.pre: no pre-transform is called 'warmup'"),
        ("[mine]\nx = 1", "unknown key 'mine'"),
        ("[transforms]\npre = 'mine'\n[yours]\nx = 1", "unknown key 'yours'"),
        ("mine = 1\n[transforms]\npre = 'mine'", "mine: expected a [mine] table"),
        ("[tokenise]\nlength = 3", "tokenise.vocabulary: expected the name of a file, got nothing"),
        ("[transforms]\npre = 'tokenise'", "tokenise.vocabulary: expected the name of a file, got nothing"),
        ("[tokenise]\nvocabulary = 'v'\npunctuation = 'drop'", "tokenise.punctuation: expected one of strip"),
        ("[tokenise]\nvocabulary = 'v'\nlowercase = 'yes'", "tokenise.lowercase"),
        ("[top_k]\nk = 0", "top_k.k"),
        ("[top_k]\nsoftmax = 1", "top_k.softmax"),
        ("[top_k]\nlabel = 'x'", "unknown key 'top_k.label'; known are output, k, labels, softmax"),
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


@pytest.mark.parametrize(
    ("text", "pre", "post", "files"),
    [
        ("", None, None, ()),
        ("[image]", "decode_image", None, ()),
        ("[transforms]\npre = 'decode_image'", "decode_image", None, ()),
        ("[tokenise]\nvocabulary = 'v.txt'", "tokenise", None, ("v.txt",)),
        ("[top_k]\nlabels = 'l.txt'", None, "top_k", ("l.txt",)),
        ("[transforms]\npost = 'top_k'", None, "top_k", ()),
        ("[image]\n[top_k]", "decode_image", "top_k", ()),
        ("[transforms]\npre = 'a.b-c'\npost = 'a.b-c'", "a.b-c", "a.b-c", ()),
        ("[transforms]\npre = 'mine'\n[mine]\nlabels = 'x'", "mine", None, ()),
    ],
)
def test_a_section_of_options_chooses_its_transform(text, pre, post, files):
    manifest = parse_manifest(text)
    assert [chosen and chosen.name for chosen in (manifest.pre, manifest.post)] == [pre, post]
    assert [f for chosen in (manifest.pre, manifest.post) if chosen for f in chosen.files] == list(files)


def test_the_shipped_transforms_are_those_that_are_registered():
    for stage, shipped in SHIPPED.items():
        assert {name for name in registered(stage) if name in shipped} == set(shipped)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [("0..1", (0, 1)), ("-1..1", (-1, 1)), ("0.5..2.25", (0.5, 2.25)), ("-2..-1", (-2, -1))],
)
def test_a_scale_is_two_numbers(text, bounds):
    assert scale_bounds(text) == bounds
