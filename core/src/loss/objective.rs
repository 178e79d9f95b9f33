//! All objectives as one type, by the names the field uses, and their table.

use super::{Dpo, Hinge, Ipo, IpoMean, PairLogps, PreferenceLoss, RobustDpo, Sft, Slic, Sppo};
use crate::{Error, Real};

/// Any objective of this crate.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Objective<T> {
    /// Supervised finetuning.
    Sft(Sft),
    /// DPO and conservative DPO.
    Dpo(Dpo<T>),
    /// Robust DPO.
    RobustDpo(RobustDpo<T>),
    /// IPO on sums.
    Ipo(Ipo<T>),
    /// IPO on token means.
    IpoMean(IpoMean<T>),
    /// Hinge with a reference.
    Hinge(Hinge<T>),
    /// SLiC.
    Slic(Slic<T>),
    /// SPPO with hard labels.
    Sppo(Sppo<T>),
}

/// The parameters of all objectives; each reads those it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters<T> {
    /// β: strength of the tie to the reference.
    pub beta: T,
    /// ε of `dpo`, `cdpo`, `robust`: assumed rate of flipped labels.
    pub label_smoothing: T,
    /// δ of `slic`: the wanted gap in nats.
    pub delta: T,
    /// λ of `slic`: weight of its SFT term.
    pub sft_weight: T,
}

impl<T: Real> Default for Parameters<T> {
    /// β = 0.1, ε = 0, δ = 1, λ = 0.1.
    fn default() -> Self {
        let tenth = T::from_f64(0.1);
        Parameters { beta: tenth, label_smoothing: T::ZERO, delta: T::ONE, sft_weight: tenth }
    }
}

const NAMES: &str = "sft, dpo (or sigmoid), cdpo, robust, ipo, ipo_mean, hinge, slic, sppo (or sppo_hard)";

impl<T: Real> Objective<T> {
    /// The objective called `name`, with its parameters checked.
    ///
    /// Names are those of [`TABLE`], and `sigmoid` for `dpo`, `sppo_hard` for `sppo`, `cdpo` for
    /// `dpo` with a label smoothing that must not be 0. Note that `ipo` is on sums; TRL's `ipo` is
    /// `ipo_mean`.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] for another name; [`Error::Range`] for a parameter out of range.
    ///
    /// # Examples
    ///
    /// ```
    /// use ldyn_core::loss::{Objective, Parameters};
    /// let objective = Objective::parse("ipo", &Parameters { beta: 0.2, ..Parameters::default() })?;
    /// assert_eq!(objective.info().name, "ipo");
    /// assert!(Objective::<f64>::parse("ppo", &Parameters::default()).is_err());
    /// # Ok::<(), ldyn_core::Error>(())
    /// ```
    pub fn parse(name: &str, p: &Parameters<T>) -> Result<Self, Error> {
        Ok(match name {
            "sft" => Objective::Sft(Sft),
            "dpo" | "sigmoid" => Objective::Dpo(Dpo::new(p.beta, p.label_smoothing)?),
            "cdpo" if p.label_smoothing == T::ZERO => {
                return Err(Error::Range {
                    name: "label_smoothing",
                    found: 0.0,
                    expected: "0 < ε < 0.5 (without smoothing, cdpo is dpo)",
                });
            }
            "cdpo" => Objective::Dpo(Dpo::new(p.beta, p.label_smoothing)?),
            "robust" => Objective::RobustDpo(RobustDpo::new(p.beta, p.label_smoothing)?),
            "ipo" => Objective::Ipo(Ipo::new(p.beta)?),
            "ipo_mean" => Objective::IpoMean(IpoMean::new(p.beta)?),
            "hinge" => Objective::Hinge(Hinge::new(p.beta)?),
            "slic" => Objective::Slic(Slic::new(p.delta, p.sft_weight)?),
            "sppo" | "sppo_hard" => Objective::Sppo(Sppo::new(p.beta)?),
            _ => return Err(Error::Unknown { name: "objective", expected: NAMES }),
        })
    }

    /// The objective's row of [`TABLE`].
    pub fn info(&self) -> &'static ObjectiveInfo {
        let row = match self {
            Objective::Sft(_) => 0,
            Objective::Dpo(_) => 1,
            Objective::RobustDpo(_) => 2,
            Objective::Ipo(_) => 3,
            Objective::IpoMean(_) => 4,
            Objective::Hinge(_) => 5,
            Objective::Slic(_) => 6,
            Objective::Sppo(_) => 7,
        };
        &TABLE[row]
    }

    fn inner(&self) -> &dyn PreferenceLoss<T> {
        match self {
            Objective::Sft(o) => o,
            Objective::Dpo(o) => o,
            Objective::RobustDpo(o) => o,
            Objective::Ipo(o) => o,
            Objective::IpoMean(o) => o,
            Objective::Hinge(o) => o,
            Objective::Slic(o) => o,
            Objective::Sppo(o) => o,
        }
    }
}

impl<T: Real> PreferenceLoss<T> for Objective<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        self.inner().loss(pair)
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        self.inner().weights(pair)
    }

    fn uses_reference(&self) -> bool {
        self.inner().uses_reference()
    }
}

/// What an objective is, in words and formulas; symbols as in the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectiveInfo {
    /// Its name in configurations.
    pub name: &'static str,
    /// The loss of one pair.
    pub loss: &'static str,
    /// w₊.
    pub chosen_weight: &'static str,
    /// w₋.
    pub rejected_weight: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// The fields of [`Parameters`] that it reads.
    pub parameters: &'static [&'static str],
}

/// All objectives.
pub const TABLE: &[ObjectiveInfo] = &[
    ObjectiveInfo {
        name: "sft",
        loss: "−ℓ₊",
        chosen_weight: "1",
        rejected_weight: "0",
        source: "paper §3.1",
        parameters: &[],
    },
    ObjectiveInfo {
        name: "dpo",
        loss: "−(1 − ε)·logσ(β·h) − ε·logσ(−β·h)",
        chosen_weight: "β·(1 − ε − σ(β·h))",
        rejected_weight: "β·(1 − ε − σ(β·h))",
        source: "Rafailov et al. 2023; ε: Mitchell 2023 (cDPO)",
        parameters: &["beta", "label_smoothing"],
    },
    ObjectiveInfo {
        name: "robust",
        loss: "(−(1 − ε)·logσ(β·h) + ε·logσ(−β·h))/(1 − 2·ε)",
        chosen_weight: "β·((1 − ε)·σ(−β·h) + ε·σ(β·h))/(1 − 2·ε)",
        rejected_weight: "β·((1 − ε)·σ(−β·h) + ε·σ(β·h))/(1 − 2·ε)",
        source: "Chowdhury et al. 2024",
        parameters: &["beta", "label_smoothing"],
    },
    ObjectiveInfo {
        name: "ipo",
        loss: "(h − 1/(2·β))²",
        chosen_weight: "1/β − 2·h",
        rejected_weight: "1/β − 2·h",
        source: "Azar et al. 2023",
        parameters: &["beta"],
    },
    ObjectiveInfo {
        name: "ipo_mean",
        loss: "(m − 1/(2·β))²",
        chosen_weight: "(1/β − 2·m)/L₊",
        rejected_weight: "(1/β − 2·m)/L₋",
        source: "Azar et al. 2023, token means as in TRL",
        parameters: &["beta"],
    },
    ObjectiveInfo {
        name: "hinge",
        loss: "max(0, 1 − β·h)",
        chosen_weight: "β·[β·h < 1]",
        rejected_weight: "β·[β·h < 1]",
        source: "Liu et al. 2023 (RSO)",
        parameters: &["beta"],
    },
    ObjectiveInfo {
        name: "slic",
        loss: "max(0, δ − g) − λ·ℓ₊",
        chosen_weight: "[g < δ] + λ",
        rejected_weight: "[g < δ]",
        source: "Zhao et al. 2023",
        parameters: &["delta", "sft_weight"],
    },
    ObjectiveInfo {
        name: "sppo",
        loss: "(r₊ − 1/(2·β))² + (r₋ + 1/(2·β))²",
        chosen_weight: "1/β − 2·r₊",
        rejected_weight: "1/β + 2·r₋",
        source: "Wu et al. 2024, hard labels",
        parameters: &["beta"],
    },
];
