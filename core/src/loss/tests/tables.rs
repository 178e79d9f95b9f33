//! The tables say what the code computes, and the docs say what the tables do.

use super::formula::{evaluate, symbols};
use super::*;
use std::format;
use std::string::String;

#[test]
fn the_table_says_what_the_code_computes() {
    for row in TABLE {
        for p in plain_parameters() {
            let objective = objective(row.name, &p);
            assert_eq!(objective.info(), row);
            for pair in pairs() {
                let symbols = symbols(&p, &pair);
                let outcome = objective.outcome(&pair);
                for (text, found) in [
                    (row.loss, outcome.loss),
                    (row.chosen_weight, outcome.chosen_weight),
                    (row.rejected_weight, outcome.rejected_weight),
                ] {
                    let exact = evaluate(text, &symbols);
                    let error = (found - exact).abs();
                    assert!(
                        error <= 1e-12 * (1.0 + exact.abs()),
                        "{}: {text} {p:?} {pair:?}: {found} {exact}",
                        row.name
                    );
                }
            }
        }
    }
}

#[test]
fn the_table_of_divergences_says_what_the_code_computes() {
    for info in DIVERGENCES {
        for c in [-1.0, 0.5, 3.0] {
            let divergence = Divergence::parse(info.name, c).unwrap();
            for r in [-20.0, -1.5, 0.0, 0.25, 20.0] {
                let value = |text| evaluate(text, &[("r", r), ("c", c)]);
                let near = |found: f64, exact: f64| (found - exact).abs() <= 1e-12 * (1.0 + exact.abs());
                assert!(near(divergence.score(r), value(info.score)), "{info:?} {c} {r}");
                assert!(near(divergence.slope(r), value(info.slope)), "{info:?} {c} {r}");
            }
        }
    }
}

#[test]
fn parameters_outside_an_objectives_row_have_no_effect() {
    let default = Parameters { label_smoothing: 0.1, ..Parameters::default() };
    let changed = |name: &str| {
        let mut p = default;
        let known = p.numbers().into_iter().find(|n| n.0 == name);
        let (_, _, value) = known.unwrap_or_else(|| panic!("no parameter {name}"));
        *value = if name == "delta" { 30.0 } else { 0.3 };
        p
    };
    for row in TABLE {
        let numbers = default.clone().numbers().map(|n| n.0);
        assert!(row.parameters.iter().all(|name| numbers.contains(name)), "{}", row.name);
        for name in numbers {
            let pair = pair(-30.0, -35.0, -29.5, -35.25);
            let differs = objective(row.name, &default).outcome(&pair)
                != objective(row.name, &changed(name)).outcome(&pair);
            assert_eq!(differs, row.reads(name), "{}: {name}", row.name);
        }
    }
}

#[test]
fn aliases_make_the_objective_of_their_row() {
    let p = Parameters { label_smoothing: 0.1, ..Parameters::default() };
    for row in TABLE {
        for alias in row.aliases {
            assert_eq!(objective(alias, &p), objective(row.name, &p), "{alias}");
        }
    }
    assert!(Objective::parse("cdpo", &Parameters::<f64>::default()).is_err());
}

#[test]
fn an_unknown_name_is_answered_with_all_names() {
    let message = format!("{}", Objective::<f64>::parse("DPO", &Parameters::default()).unwrap_err());
    let name = |row: &ObjectiveInfo| match row.aliases {
        [] => row.name.into(),
        aliases => format!("{} (or {})", row.name, aliases.join(", ")),
    };
    let names: Vec<String> = TABLE.iter().map(name).collect();
    assert_eq!(message, format!("unknown objective; expected one of: {}", names.join(", ")));
}

#[test]
fn the_tables_in_the_docs_are_the_tables() {
    let written: Vec<&str> = include_str!("../mod.rs").lines().filter(|l| l.starts_with("//! | `")).collect();
    let pairs = TABLE.iter().map(|r| {
        let names: Vec<String> = [r.name].iter().chain(r.aliases).map(|n| format!("`{n}`")).collect();
        let names = names.join(", ");
        format!(
            "//! | {names} | `{}` | `{}` | `{}` | {} |",
            r.loss, r.chosen_weight, r.rejected_weight, r.source
        )
    });
    let divergences =
        DIVERGENCES.iter().map(|d| format!("//! | `{}` | `{}` | `{}` |", d.name, d.score, d.slope));
    let others = OTHERS
        .iter()
        .map(|t| format!("//! | `{}` | {} | `{}` | `{}` | {} |", t.name, t.of, t.loss, t.weight, t.source));
    let rendered: Vec<String> = pairs.chain(divergences).chain(others).collect();
    for (written, rendered) in written.iter().zip(&rendered) {
        assert_eq!(written, rendered);
    }
    assert_eq!(written.len(), rendered.len());
}
