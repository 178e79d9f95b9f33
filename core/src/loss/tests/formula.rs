//! Reads the formulas of the tables: sums of products of atoms, with ², brackets, `max(a, b)`,
//! `exp(x)`, `log(x)`, `σ(x)`, `logσ(x)` and the indicator `[a < b]`.

use super::*;

/// The value of a formula, given its symbols; of two symbols that begin alike the longer comes first.
pub(super) fn evaluate(text: &str, symbols: &[(&str, f64)]) -> f64 {
    let mut formula = Formula { rest: text, symbols };
    let value = formula.sum();
    assert_eq!(formula.rest, "", "cannot read the end of {text}");
    value
}

/// The symbols of a pair and of the parameters.
pub(super) fn symbols(p: &Parameters<f64>, pair: &PairLogps<f64>) -> Vec<(&'static str, f64)> {
    let (r_chosen, r_rejected) = (pair.chosen - pair.ref_chosen, pair.rejected - pair.ref_rejected);
    let (l_chosen, l_rejected) = (pair.chosen_len as f64, pair.rejected_len as f64);
    let (x_chosen, x_rejected) = (pair.chosen / l_chosen, pair.rejected / l_rejected);
    let odds = |x: f64| x - (-x.exp()).ln_1p();
    let mut symbols = std::vec![
        ("ℓ₊", pair.chosen),
        ("ℓ₋", pair.rejected),
        ("r₊", r_chosen),
        ("r₋", r_rejected),
        ("L₊", l_chosen),
        ("L₋", l_rejected),
        ("h", r_chosen - r_rejected),
        ("m", r_chosen / l_chosen - r_rejected / l_rejected),
        ("g", pair.chosen - pair.rejected),
        ("s", x_chosen - x_rejected),
        ("o", odds(x_chosen) - odds(x_rejected)),
    ];
    symbols.extend(p.clone().numbers().map(|(_, symbol, value)| (symbol, *value)));
    symbols
}

struct Formula<'a> {
    rest: &'a str,
    symbols: &'a [(&'a str, f64)],
}

impl Formula<'_> {
    fn take(&mut self, token: &str) -> bool {
        let found = self.rest.trim_start().strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn expect(&mut self, token: &str) {
        assert!(self.take(token), "expected {token} at {}", self.rest);
    }

    fn sum(&mut self) -> f64 {
        let mut value = if self.take("−") { -self.product() } else { self.product() };
        loop {
            if self.take("+") {
                value += self.product();
            } else if self.take("−") {
                value -= self.product();
            } else {
                return value;
            }
        }
    }

    fn product(&mut self) -> f64 {
        let mut value = self.power();
        loop {
            if self.take("·") {
                value *= self.power();
            } else if self.take("/") {
                value /= self.power();
            } else {
                return value;
            }
        }
    }

    fn power(&mut self) -> f64 {
        let value = self.atom();
        if self.take("²") { value * value } else { value }
    }

    fn atom(&mut self) -> f64 {
        if self.take("max(") {
            let a = self.sum();
            self.expect(",");
            let b = self.sum();
            self.expect(")");
            return a.max(b);
        }
        if self.take("[") {
            let a = self.sum();
            self.expect("<");
            let b = self.sum();
            self.expect("]");
            return if a < b { 1.0 } else { 0.0 };
        }
        for (name, function) in [
            ("logσ(", (|x| -(-x).exp().ln_1p()) as fn(f64) -> f64),
            ("log(", f64::ln),
            ("exp(", f64::exp),
            ("σ(", |x| 1.0 / (1.0 + (-x).exp())),
            ("(", |x| x),
        ] {
            if self.take(name) {
                let x = self.sum();
                self.expect(")");
                return function(x);
            }
        }
        let symbols = self.symbols;
        for &(name, value) in symbols {
            if self.take(name) {
                return value;
            }
        }
        let text = self.rest.trim_start();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = text[..digits].parse().unwrap_or_else(|_| panic!("cannot read {text}"));
        self.rest = &text[digits..];
        number
    }
}

#[test]
fn formulas_mean_what_they_say() {
    let symbols = [("x₊", 3.0), ("x", 2.0)];
    for (text, value) in [
        ("1 − 2·x² + x₊/(x + 1)", -6.0),
        ("−max(x, 5 − x₊)·[x < x₊]", -2.0),
        ("[x₊ < x] + exp(0)·log(1) − σ(0)", -0.5),
        ("12/x − logσ(0)", 6.0 + 2.0_f64.ln()),
    ] {
        assert_eq!(evaluate(text, &symbols), value, "{text}");
    }
}
