//! All objectives of pairs as one type, by the names the field uses, with their options.

use super::{
    ApoDown, ApoZero, Bco, CalDpo, Cpo, DiscoPop, Divergence, Dpo, Dpop, Exo, Hinge, Ipo, Margin, MarginLoss,
    Nca, ObjectiveInfo, Orpo, PairLogps, PreferenceLoss, RobustDpo, Sft, SimPo, Slic, Spin, Sppo, TABLE,
    nonnegative,
};
use crate::{Error, Real};

/// Any objective of pairs, with its options.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective<T> {
    form: Form<T>,
    divergence: Divergence<T>,
    reference_free: bool,
    rpo_alpha: T,
}

/// One variant for each row of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form<T> {
    Sft(Sft),
    Dpo(Dpo<T>),
    RobustDpo(RobustDpo<T>),
    Ipo(Ipo<T>),
    IpoMean(Ipo<T>),
    Hinge(Hinge<T>),
    Exo(Exo<T>),
    DiscoPop(DiscoPop<T>),
    SigmoidNorm(Dpo<T>),
    Spin(Spin<T>),
    Sppo(Sppo<T>),
    CalDpo(CalDpo<T>),
    Dpop(Dpop<T>),
    Nca(Nca<T>),
    Bco(Bco<T>),
    ApoZero(ApoZero<T>),
    ApoDown(ApoDown<T>),
    Slic(Slic<T>),
    Cpo(Cpo<T>),
    SimPo(SimPo<T>),
    Orpo(Orpo<T>),
}

/// A loss as what it is: of a margin that is still to be taken, on sums or token means, or of the pair.
enum Inner<'a, T> {
    Margin(&'a dyn MarginLoss<T>, bool),
    Pair(&'a dyn PreferenceLoss<T>),
}

/// The parameters of all objectives; each reads those it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters<T> {
    /// β: strength of the tie to the reference, or what the objective's row says.
    pub beta: T,
    /// ε: assumed rate of flipped labels.
    pub label_smoothing: T,
    /// δ of `slic`: the wanted gap in nats.
    pub delta: T,
    /// λ of `slic`: weight of its SFT term.
    pub sft_weight: T,
    /// τ of `discopop`: temperature of its mixture.
    pub discopop_tau: T,
    /// κ of `dpop`: weight of its penalty.
    pub dpop_lambda: T,
    /// ρ of `bco_pair`: shift of the rewards.
    pub reward_shift: T,
    /// α of `cpo`: weight of its NLL.
    pub cpo_alpha: T,
    /// γ of `simpo`: target margin in units of β·s.
    pub simpo_gamma: T,
    /// Option: the divergence of the tie to the reference.
    pub divergence: Divergence<T>,
    /// Option: log π_ref := 0.
    pub reference_free: bool,
    /// Option ν: weight of an added mean NLL of the chosen response.
    pub rpo_alpha: T,
}

impl<T: Real> Default for Parameters<T> {
    /// β = 0.1, ε = 0, δ = 1, λ = 0.1, τ = 0.05, κ = 50, ρ = 0, α = 1, γ = 0.5; no options. Where TRL has
    /// the parameter this is its default.
    fn default() -> Self {
        let number = T::from_f64;
        Parameters {
            beta: number(0.1),
            label_smoothing: T::ZERO,
            delta: T::ONE,
            sft_weight: number(0.1),
            discopop_tau: number(0.05),
            dpop_lambda: number(50.0),
            reward_shift: T::ZERO,
            cpo_alpha: T::ONE,
            simpo_gamma: T::HALF,
            divergence: Divergence::ReverseKl,
            reference_free: false,
            rpo_alpha: T::ZERO,
        }
    }
}

impl<T> Parameters<T> {
    /// Every number with its name and its symbol in the tables.
    pub fn numbers(&mut self) -> [(&'static str, &'static str, &mut T); 10] {
        [
            ("beta", "β", &mut self.beta),
            ("label_smoothing", "ε", &mut self.label_smoothing),
            ("delta", "δ", &mut self.delta),
            ("sft_weight", "λ", &mut self.sft_weight),
            ("discopop_tau", "τ", &mut self.discopop_tau),
            ("dpop_lambda", "κ", &mut self.dpop_lambda),
            ("reward_shift", "ρ", &mut self.reward_shift),
            ("cpo_alpha", "α", &mut self.cpo_alpha),
            ("simpo_gamma", "γ", &mut self.simpo_gamma),
            ("rpo_alpha", "ν", &mut self.rpo_alpha),
        ]
    }
}

const NAMES: &str = "sft, dpo (or sigmoid, cdpo), robust, ipo, ipo_mean, hinge, exo_pair (or exo), discopop, sigmoid_norm, spin, sppo (or sppo_hard), cal_dpo, dpop, nca_pair (or nca), bco_pair (or bco), apo_zero, apo_down, slic, cpo, simpo, orpo";

impl<T: Real> Objective<T> {
    /// The objective called `name`, with its parameters checked; those that it does not
    /// [read](ObjectiveInfo::reads) have no effect.
    ///
    /// Names are those of [`TABLE`] with their aliases. `cdpo` is `dpo` with a label smoothing that
    /// must not be 0. Note that `ipo` is on sums; TRL's `ipo` is `ipo_mean`.
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
        if name == "cdpo" && p.label_smoothing == T::ZERO {
            return Err(Error::Range {
                name: "label_smoothing",
                found: 0.0,
                expected: "0 < ε < 0.5 (without smoothing, cdpo is dpo)",
            });
        }
        let form = match name {
            "sft" => Form::Sft(Sft),
            "dpo" | "sigmoid" | "cdpo" => Form::Dpo(Dpo::new(p.beta, p.label_smoothing)?),
            "robust" => Form::RobustDpo(RobustDpo::new(p.beta, p.label_smoothing)?),
            "ipo" => Form::Ipo(Ipo::new(p.beta)?),
            "ipo_mean" => Form::IpoMean(Ipo::new(p.beta)?),
            "hinge" => Form::Hinge(Hinge::new(p.beta)?),
            "exo_pair" | "exo" => Form::Exo(Exo::new(p.beta, p.label_smoothing)?),
            "discopop" => Form::DiscoPop(DiscoPop::new(p.beta, p.discopop_tau)?),
            "sigmoid_norm" => Form::SigmoidNorm(Dpo::new(p.beta, T::ZERO)?),
            "spin" => Form::Spin(Spin::new(p.beta)?),
            "sppo" | "sppo_hard" => Form::Sppo(Sppo::new(p.beta)?),
            "cal_dpo" => Form::CalDpo(CalDpo::new(p.beta)?),
            "dpop" => Form::Dpop(Dpop::new(p.beta, p.dpop_lambda)?),
            "nca_pair" | "nca" => Form::Nca(Nca::new(p.beta)?),
            "bco_pair" | "bco" => Form::Bco(Bco::new(p.beta, p.reward_shift)?),
            "apo_zero" => Form::ApoZero(ApoZero::new(p.beta)?),
            "apo_down" => Form::ApoDown(ApoDown::new(p.beta)?),
            "slic" => Form::Slic(Slic::new(p.delta, p.sft_weight)?),
            "cpo" => Form::Cpo(Cpo::new(p.beta, p.label_smoothing, p.cpo_alpha)?),
            "simpo" => Form::SimPo(SimPo::new(p.beta, p.label_smoothing, p.simpo_gamma)?),
            "orpo" => Form::Orpo(Orpo::new(p.beta)?),
            _ => return Err(Error::Unknown { name: "objective", expected: NAMES }),
        };
        let mut objective =
            Objective { form, divergence: Divergence::ReverseKl, reference_free: false, rpo_alpha: T::ZERO };
        let info = objective.info();
        if info.reads("f_divergence_type") {
            objective.divergence = p.divergence;
        }
        if info.reads("reference_free") {
            objective.reference_free = p.reference_free;
        }
        if info.reads("rpo_alpha") {
            objective.rpo_alpha = nonnegative("rpo_alpha", p.rpo_alpha)?;
        }
        Ok(objective)
    }

    /// The objective's row of [`TABLE`].
    pub fn info(&self) -> &'static ObjectiveInfo {
        let row = match self.form {
            Form::Sft(_) => 0,
            Form::Dpo(_) => 1,
            Form::RobustDpo(_) => 2,
            Form::Ipo(_) => 3,
            Form::IpoMean(_) => 4,
            Form::Hinge(_) => 5,
            Form::Exo(_) => 6,
            Form::DiscoPop(_) => 7,
            Form::SigmoidNorm(_) => 8,
            Form::Spin(_) => 9,
            Form::Sppo(_) => 10,
            Form::CalDpo(_) => 11,
            Form::Dpop(_) => 12,
            Form::Nca(_) => 13,
            Form::Bco(_) => 14,
            Form::ApoZero(_) => 15,
            Form::ApoDown(_) => 16,
            Form::Slic(_) => 17,
            Form::Cpo(_) => 18,
            Form::SimPo(_) => 19,
            Form::Orpo(_) => 20,
        };
        &TABLE[row]
    }

    fn inner(&self) -> Inner<'_, T> {
        match &self.form {
            Form::Sft(l) => Inner::Pair(l),
            Form::Dpo(l) => Inner::Margin(l, false),
            Form::RobustDpo(l) => Inner::Margin(l, false),
            Form::Ipo(l) => Inner::Margin(l, false),
            Form::IpoMean(l) => Inner::Margin(l, true),
            Form::Hinge(l) => Inner::Margin(l, false),
            Form::Exo(l) => Inner::Margin(l, false),
            Form::DiscoPop(l) => Inner::Margin(l, false),
            Form::SigmoidNorm(l) => Inner::Margin(l, true),
            Form::Spin(l) => Inner::Pair(l),
            Form::Sppo(l) => Inner::Pair(l),
            Form::CalDpo(l) => Inner::Pair(l),
            Form::Dpop(l) => Inner::Pair(l),
            Form::Nca(l) => Inner::Pair(l),
            Form::Bco(l) => Inner::Pair(l),
            Form::ApoZero(l) => Inner::Pair(l),
            Form::ApoDown(l) => Inner::Pair(l),
            Form::Slic(l) => Inner::Pair(l),
            Form::Cpo(l) => Inner::Pair(l),
            Form::SimPo(l) => Inner::Pair(l),
            Form::Orpo(l) => Inner::Pair(l),
        }
    }

    fn margin(&self, token_mean: bool) -> Margin<T> {
        Margin { divergence: self.divergence, token_mean }
    }

    /// The pair as the objective sees it.
    fn view(&self, pair: &PairLogps<T>) -> PairLogps<T> {
        if self.reference_free { pair.without_reference() } else { *pair }
    }
}

impl<T: Real> PreferenceLoss<T> for Objective<T> {
    fn loss(&self, pair: &PairLogps<T>) -> T {
        let pair = self.view(pair);
        let loss = match self.inner() {
            Inner::Margin(loss, token_mean) => loss.loss_at(self.margin(token_mean).value(&pair)),
            Inner::Pair(loss) => loss.loss(&pair),
        };
        // Without the term an impossible response is not 0·∞.
        if self.rpo_alpha == T::ZERO { loss } else { loss - self.rpo_alpha * pair.token_means().0 }
    }

    fn weights(&self, pair: &PairLogps<T>) -> (T, T) {
        let pair = self.view(pair);
        let (chosen, rejected) = match self.inner() {
            Inner::Margin(loss, token_mean) => self.margin(token_mean).weights(loss, &pair),
            Inner::Pair(loss) => loss.weights(&pair),
        };
        (chosen + self.rpo_alpha / pair.lengths().0, rejected)
    }

    fn uses_reference(&self) -> bool {
        let reads = match self.inner() {
            Inner::Margin(..) => true,
            Inner::Pair(loss) => loss.uses_reference(),
        };
        reads && !self.reference_free
    }
}
