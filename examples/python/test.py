"""The module against numpy, and against what it promises. Needs numpy alone: python test.py"""

import ast
import inspect
import math
import pathlib

import numpy as np

import ldyn

random = np.random.default_rng(7)
EPS = {np.float32: np.finfo(np.float32).eps, np.float64: np.finfo(np.float64).eps}


def close(found, expected, dtype=np.float64, size=50):
    """Equal up to rounding of numbers of the type, of which the largest is about `size`."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    worst = np.abs(found.astype(np.float64) - expected).max(initial=0)
    assert worst <= 8 * size * EPS[dtype], f"off by {worst}"


def refused(kind, words, call, *arguments, **named):
    """The call raises this kind of error, in these words."""
    try:
        call(*arguments, **named)
    except kind as error:
        assert all(word in str(error) for word in words), f"{error!s} does not say {words}"
        return
    raise AssertionError(f"{call.__name__} accepted {arguments}")


def plain_log_softmax(z):
    z = z.astype(np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def softmax_of_rows_of_both_types_and_every_layout():
    for dtype in (np.float32, np.float64):
        block = (20 * random.standard_normal((6, 40))).astype(dtype)
        records = np.zeros(40, dtype=[("x", np.int8), ("z", dtype)])
        records["z"] = block[1]
        shifted = np.zeros(block.nbytes + 1, np.uint8)[1:].view(dtype).reshape(block.shape)
        shifted[:] = block
        views = (block, block[0], block[::2, ::3], block.T, block[:, ::-1], np.asfortranarray(block), block[:0])
        for z in (*views, records["z"], shifted, np.broadcast_to(block[2], (3, 40))):
            for f, plain in [(ldyn.log_softmax, plain_log_softmax), (ldyn.softmax, lambda z: np.exp(plain_log_softmax(z)))]:
                found = f(z)
                assert found.dtype == dtype and found.flags.c_contiguous
                close(found, plain(z), dtype, 160)
    close(ldyn.softmax(np.array([0.0, -np.inf])), [1, 0])
    assert ldyn.log_softmax(np.array([5000.0, 0.0])).tolist() == [0, -5000]


def what_does_not_fit_is_refused_with_found_and_expected():
    row, rows = np.zeros(3), np.zeros((2, 3))
    refused(TypeError, ["list", "expected a numpy array of float32 or float64"], ldyn.softmax, [1.0, 2.0])
    refused(TypeError, ["int64", "float32 or float64"], ldyn.softmax, np.zeros(3, dtype=np.int64))
    refused(TypeError, [">f8", "float32 or float64"], ldyn.softmax, np.zeros(3, dtype=">f8"))
    refused(ValueError, ["(V,) or (N, V)", "[1, 2, 3]"], ldyn.softmax, np.zeros((1, 2, 3)))
    refused(ValueError, ["(0,)", "at least one label"], ldyn.softmax, np.zeros(0))
    refused(ValueError, ["row 1", "logit 2", "NaN"], ldyn.softmax, np.array([[0.0, 0, 0], [0, 0, np.nan]]))
    refused(ValueError, ["all logits are −∞"], ldyn.softmax, np.full(3, -np.inf))
    refused(TypeError, ["labels", "an integer"], ldyn.residual, row, [0])
    refused(TypeError, ["labels", "a sequence of integers"], ldyn.residual, rows, 0)
    refused(TypeError, ["labels", "a sequence of integers"], ldyn.residual, rows, np.zeros(2))
    refused(ValueError, ["3 elements", "expected 2"], ldyn.residual, rows, [0, 1, 2])
    refused(ValueError, ["row 1", "label 3", "0 to 2"], ldyn.residual, rows, [0, 3])
    refused(ValueError, ["label -1", "0 to 2"], ldyn.token_stats, row, -1)
    refused(ValueError, ["(3,)", "(2, 3)"], ldyn.adapt, np.full((2, 3), 1 / 3), row)
    refused(TypeError, ["float32", "float64"], ldyn.adapt, np.full(2, 0.5), np.zeros(2, dtype=np.float32))
    refused(ValueError, ["sum of the probabilities", "0.9"], ldyn.step, np.array([0.5, 0.4]), 0, 1.0)
    refused(ValueError, ["step", "finite"], ldyn.step, np.array([0.5, 0.5]), 0, 0.0)
    refused(ValueError, ["(2, 3)", "one row"], ldyn.trajectory, rows, 0, 1.0, 3)
    refused(ValueError, ["a row for each token"], ldyn.response_stats, row, 0)


def the_residual_is_the_gradient():
    z = random.standard_normal((4, 9))
    labels = np.array([0, 3, 8, 3])
    one_hot = np.eye(9)[labels]
    close(ldyn.residual(z, labels, 2.5), 2.5 * (np.exp(plain_log_softmax(z)) - one_hot), size=3)
    close(ldyn.residual(z[1], 3), ldyn.residual(z, labels)[1])
    h = 1e-6
    loss = lambda z: -plain_log_softmax(z)[..., 3]
    slopes = [(loss(z[1] + h * e) - loss(z[1] - h * e)) / (2 * h) for e in np.eye(9)]
    assert np.allclose(ldyn.residual(z[1], 3), slopes, atol=1e-8)


def statistics_of_tokens_and_responses():
    z, labels = 3 * random.standard_normal((7, 30)), list(range(7))
    log_pi = plain_log_softmax(z)
    pi, own = np.exp(log_pi), log_pi[np.arange(7), labels]
    stats = ldyn.token_stats(z, labels)
    close(stats["logp"], own)
    assert (stats["argmax"] == pi.argmax(axis=1)).all()
    close(stats["argmax_logp"], log_pi.max(axis=1))
    close(stats["rest_logp"], np.log1p(-pi.max(axis=1)))
    close(stats["entropy"], -(pi * log_pi).sum(axis=1))
    close(stats["sum_sq"], (pi**2).sum(axis=1))
    close(stats["log_z"], np.log(np.exp(z).sum(axis=1)))
    close(stats["energy"], 1 - np.exp(own))
    close(stats["gap_norm"], np.linalg.norm(pi - np.eye(30)[labels], axis=1))
    close(stats["a_norm"], [np.linalg.norm(np.eye(30) - np.outer(np.ones(30), p)) for p in pi])
    one = ldyn.token_stats(z[2], 2)
    assert one == {name: values[2] for name, values in stats.items()} and isinstance(one["argmax"], int)
    response = ldyn.response_stats(z, labels)
    assert response["n_tokens"] == 7
    for name in ("logp", "argmax_logp", "rest_logp"):
        close(response[name], stats[name].sum())
    for name in ("a_norm", "gap_norm", "energy", "entropy"):
        close(response[name], stats[name].mean())
    close(response["logp_mean"], own.mean())


def adaptation_is_the_matrix():
    z, v = random.standard_normal((3, 8)), random.standard_normal((3, 8))
    pi = ldyn.softmax(z)
    dense = [(np.eye(8) - np.outer(np.ones(8), p)) @ w for p, w in zip(pi, v)]
    close(ldyn.adapt(pi, v), np.array(dense))
    close(ldyn.adapt(pi.T.copy().T, v)[1], dense[1])


def a_step_squeezes_and_is_exact():
    z = np.array([3.0, 1.5, 0.0, -1.8, -3.5])
    pi = ldyn.softmax(z)
    for label, size in [(4, -1.0), (2, 0.7), (0, -0.3)]:
        moved = z + size * (np.eye(5)[label] - pi)
        step = ldyn.step(pi, label, size)
        close(step.after, np.exp(plain_log_softmax(moved)))
        close(step.log_growth, plain_log_softmax(moved) - np.log(pi))
        assert step.risers == (step.log_growth > 0).sum()
        assert math.isclose(step.label_change, step.after[label] - pi[label], abs_tol=1e-15)
        total = step.label_change + step.runner_up_change + step.risen + step.fallen
        assert abs(total) < 1e-15
    step = ldyn.step(pi, 4, -1.0)
    others = np.arange(5) != 4
    assert step.runner_up == 0 and ((step.log_growth > 0) == (pi > step.threshold))[others].all()
    assert "runner_up=0" in repr(step)
    way = ldyn.trajectory(z, 4, -1.0, 16)
    assert way.shape == (17, 5) and (np.diff(way[:, 0]) >= 0).all() and way[16, 0] > 0.9999
    close(way[1], step.after)
    small = ldyn.step(pi.astype(np.float32), 4, -1.0)
    assert small.after.dtype == np.float32
    close(small.after, step.after, np.float32, 1)


def the_prediction_is_of_first_order():
    w, phi, other = random.standard_normal((6, 3)), random.standard_normal(3), random.standard_normal(3)
    errors = []
    for rate in (0.02, 0.01):
        predicted, measured = ldyn.predict_step(w, phi, other, 2, rate)
        rest = measured - predicted
        assert np.ptp(rest) < 1e-13 and (rest <= 1e-15).all()  # one number for all labels, −KL
        errors.append(abs(rest[0]))
    assert 3.8 < errors[0] / errors[1] < 4.2  # half the step, a quarter of the remainder
    refused(ValueError, ["phi_observed", "(2,)", "(3,)"], ldyn.predict_step, w, phi[:2], other, 2, 0.1)


def losses_are_the_tables_and_their_weights_are_the_gradients():
    chosen, rejected = np.array([-20.0, -31.0, -8.0]), np.array([-25.0, -30.5, -9.5])
    reference = dict(ref_chosen=np.array([-21.0, -30.0, -8.5]), ref_rejected=np.array([-24.0, -30.0, -8.0]))
    lengths = dict(chosen_len=[10, 20, 4], rejected_len=np.array([12, 19, 4]))
    special = {"exo_pair": {"label_smoothing": 0.01}, "robust": {"label_smoothing": 0.1}}
    for name, info in ldyn.losses().items():
        named = {**reference, **lengths, **special.get(name, {})}
        loss, up, down = ldyn.preference_loss(name, chosen, rejected, **named)
        h = 1e-6
        slope = lambda a, b: (
            ldyn.preference_loss(name, chosen + a, rejected + b, **named)[0]
            - ldyn.preference_loss(name, chosen - a, rejected - b, **named)[0]
        ) / (2 * h)
        assert np.allclose(slope(h, 0), -up, rtol=1e-5, atol=1e-7), name
        assert np.allclose(slope(0, h), down, rtol=1e-5, atol=1e-7), name
        assert loss.shape == (3,) and info["loss"] and info["source"]
        for alias in info["aliases"]:
            if alias != "cdpo":
                again = ldyn.preference_loss(alias, chosen, rejected, **named)[0]
                assert (again == loss).all()
    margin = 0.1 * ((chosen - reference["ref_chosen"]) - (rejected - reference["ref_rejected"]))
    close(ldyn.preference_loss("dpo", chosen, rejected, **reference)[0], np.log1p(np.exp(-margin)))
    close(ldyn.preference_loss("dpo", chosen[::-1], rejected[::-1], **{k: v[::-1] for k, v in reference.items()})[0][::-1],
          np.log1p(np.exp(-margin)))
    free = ldyn.preference_loss("dpo", chosen, rejected, reference_free=True, beta=0.5)
    close(free[0], np.log1p(np.exp(-0.5 * (chosen - rejected))))
    refused(ValueError, ["dpo", "ref_chosen"], ldyn.preference_loss, "dpo", chosen, rejected)
    for name in ("simpo", "orpo", "cpo", "ipo_mean"):
        refused(ValueError, [name, "chosen_len"], ldyn.preference_loss, name, chosen, rejected, **reference)
    refused(ValueError, ["chosen_len"], ldyn.preference_loss, "dpo", chosen, rejected, **reference, rpo_alpha=1.0)
    refused(ValueError, ["2 elements", "expected 3"], ldyn.preference_loss, "sft", chosen, rejected[:2])
    refused(ValueError, ["unknown objective", "simpo"], ldyn.preference_loss, "ppo", chosen, rejected)
    refused(ValueError, ["beta", "> 0"], ldyn.preference_loss, "ipo", chosen, rejected, **reference, beta=-1.0)
    refused(TypeError, ["unknown parameter `betta`", "beta"], ldyn.preference_loss, "dpo", chosen, rejected, betta=1.0)


def every_statement_holds():
    for _ in range(20):
        rows = ldyn.statements(3 * random.standard_normal(12), 3, 7, 0.8)
        assert len(rows) > 80 and {row["outcome"] for row in rows} <= {"holds", "not applicable"}, rows
    assert {row["kind"] for row in rows} == {"exact", "first-order", "numeric"}


def the_stub_names_what_there_is():
    tree = ast.parse((pathlib.Path(__file__).parent / "ldyn.pyi").read_text())
    functions = {node.name: [a.arg for a in node.args.args] for node in tree.body if isinstance(node, ast.FunctionDef)}
    here = {name: f for name, f in vars(ldyn).items() if inspect.isbuiltin(f)}
    assert functions.keys() == here.keys(), functions.keys() ^ here.keys()
    for name, f in here.items():
        kinds = inspect.signature(f).parameters.values()
        assert functions[name] == [p.name for p in kinds if p.kind is not inspect.Parameter.VAR_KEYWORD], name
        assert f.__doc__, f"{name} has no docstring"
    fields = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Step")
    named = {node.target.id for node in fields.body if isinstance(node, ast.AnnAssign)}
    assert named == {name for name in vars(ldyn.Step) if not name.startswith("_")}


def the_readme_prints_what_it_says():
    text = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    printed = []
    exec(code, {"print": lambda *values: printed.append(" ".join(map(str, values)))})
    said = [line.split("# ")[1].removesuffix("...") for line in code.splitlines() if line.startswith("print")]
    assert len(said) == len(printed) == 1 and printed[0].startswith(said[0]), (printed, said)


if __name__ == "__main__":
    for test in [
        softmax_of_rows_of_both_types_and_every_layout,
        what_does_not_fit_is_refused_with_found_and_expected,
        the_residual_is_the_gradient,
        statistics_of_tokens_and_responses,
        adaptation_is_the_matrix,
        a_step_squeezes_and_is_exact,
        the_prediction_is_of_first_order,
        losses_are_the_tables_and_their_weights_are_the_gradients,
        every_statement_holds,
        the_stub_names_what_there_is,
        the_readme_prints_what_it_says,
    ]:
        test()
        print(f"   {test.__name__.replace('_', ' ')}")
