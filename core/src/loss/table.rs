//! The tables of objectives: what each is, in words and formulas.

/// What an objective is, in words and formulas; symbols as in the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectiveInfo {
    /// Its name in configurations.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// The loss of one pair.
    pub loss: &'static str,
    /// w₊.
    pub chosen_weight: &'static str,
    /// w₋.
    pub rejected_weight: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// The fields of [`Parameters`](super::Parameters) that its formulas contain.
    pub parameters: &'static [&'static str],
    /// The options that it may be combined with.
    pub options: &'static [&'static str],
}

impl ObjectiveInfo {
    /// Whether a parameter or option of this name has an effect.
    pub fn reads(&self, name: &str) -> bool {
        self.parameters.contains(&name) || self.options.contains(&name)
    }
}

/// What a loss is that is not a function of one pair; symbols as in the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermInfo {
    /// Its name in configurations.
    pub name: &'static str,
    /// What the formulas are of.
    pub of: &'static str,
    /// The loss.
    pub loss: &'static str,
    /// w.
    pub weight: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// The parameters that its formulas contain.
    pub parameters: &'static [&'static str],
}

// Options of a loss of a margin, of one with a reference, of one without, and of one that is or
// has an SFT term itself.
const MARGIN: &[&str] = &["f_divergence_type", "f_alpha_divergence_coef", "reference_free", "rpo_alpha"];
const REFERENCE: &[&str] = &["reference_free", "rpo_alpha"];
const PLAIN: &[&str] = &["rpo_alpha"];
const NONE: &[&str] = &[];

/// All objectives of pairs.
pub const TABLE: &[ObjectiveInfo] = &[
    ObjectiveInfo {
        name: "sft",
        aliases: &[],
        loss: "−ℓ₊",
        chosen_weight: "1",
        rejected_weight: "0",
        source: "paper §3.1",
        parameters: &[],
        options: NONE,
    },
    ObjectiveInfo {
        name: "dpo",
        aliases: &["sigmoid", "cdpo"],
        loss: "−(1 − ε)·logσ(β·h) − ε·logσ(−β·h)",
        chosen_weight: "β·(1 − ε − σ(β·h))",
        rejected_weight: "β·(1 − ε − σ(β·h))",
        source: "Rafailov et al. 2023; ε: Mitchell 2023 (cDPO)",
        parameters: &["beta", "label_smoothing"],
        options: MARGIN,
    },
    ObjectiveInfo {
        name: "robust",
        aliases: &[],
        loss: "(−(1 − ε)·logσ(β·h) + ε·logσ(−β·h))/(1 − 2·ε)",
        chosen_weight: "β·((1 − ε)·σ(−β·h) + ε·σ(β·h))/(1 − 2·ε)",
        rejected_weight: "β·((1 − ε)·σ(−β·h) + ε·σ(β·h))/(1 − 2·ε)",
        source: "Chowdhury et al. 2024",
        parameters: &["beta", "label_smoothing"],
        options: MARGIN,
    },
    ObjectiveInfo {
        name: "ipo",
        aliases: &[],
        loss: "(h − 1/(2·β))²",
        chosen_weight: "1/β − 2·h",
        rejected_weight: "1/β − 2·h",
        source: "Azar et al. 2023",
        parameters: &["beta"],
        options: MARGIN,
    },
    ObjectiveInfo {
        name: "ipo_mean",
        aliases: &[],
        loss: "(m − 1/(2·β))²",
        chosen_weight: "(1/β − 2·m)/L₊",
        rejected_weight: "(1/β − 2·m)/L₋",
        source: "Azar et al. 2023, token means as in TRL",
        parameters: &["beta"],
        options: MARGIN,
    },
    ObjectiveInfo {
        name: "hinge",
        aliases: &[],
        loss: "max(0, 1 − β·h)",
        chosen_weight: "β·[β·h < 1]",
        rejected_weight: "β·[β·h < 1]",
        source: "Liu et al. 2023 (RSO)",
        parameters: &["beta"],
        options: MARGIN,
    },
    ObjectiveInfo {
        name: "exo_pair",
        aliases: &["exo"],
        loss: "σ(β·h)·(logσ(β·h) − log(1 − ε)) + σ(−β·h)·(logσ(−β·h) − log(ε))",
        chosen_weight: "β·σ(β·h)·σ(−β·h)·(log(1/ε − 1) − β·h)",
        rejected_weight: "β·σ(β·h)·σ(−β·h)·(log(1/ε − 1) − β·h)",
        source: "Ji et al. 2024",
        parameters: &["beta", "label_smoothing"],
        options: MARGIN,
    },
    ObjectiveInfo {
        name: "discopop",
        aliases: &[],
        loss: "σ(β·h/τ)·exp(−β·h) − σ(−β·h/τ)·logσ(β·h)",
        chosen_weight: "β·(σ(−β·h/τ)·σ(−β·h) + σ(β·h/τ)·exp(−β·h) − σ(−β·h/τ)·σ(β·h/τ)·(exp(−β·h) + logσ(β·h))/τ)",
        rejected_weight: "β·(σ(−β·h/τ)·σ(−β·h) + σ(β·h/τ)·exp(−β·h) − σ(−β·h/τ)·σ(β·h/τ)·(exp(−β·h) + logσ(β·h))/τ)",
        source: "Lu et al. 2024",
        parameters: &["beta", "discopop_tau"],
        options: MARGIN,
    },
    ObjectiveInfo {
        name: "sigmoid_norm",
        aliases: &[],
        loss: "−logσ(β·m)",
        chosen_weight: "β·σ(−β·m)/L₊",
        rejected_weight: "β·σ(−β·m)/L₋",
        source: "as in TRL: DPO on token means",
        parameters: &["beta"],
        options: MARGIN,
    },
    ObjectiveInfo {
        name: "spin",
        aliases: &[],
        loss: "−logσ(β·h)",
        chosen_weight: "β·σ(−β·h)",
        rejected_weight: "β·σ(−β·h)",
        source: "Chen et al. 2024; β is their λ",
        parameters: &["beta"],
        options: REFERENCE,
    },
    ObjectiveInfo {
        name: "sppo",
        aliases: &["sppo_hard"],
        loss: "(r₊ − 1/(2·β))² + (r₋ + 1/(2·β))²",
        chosen_weight: "1/β − 2·r₊",
        rejected_weight: "1/β + 2·r₋",
        source: "Wu et al. 2024, hard labels",
        parameters: &["beta"],
        options: REFERENCE,
    },
    ObjectiveInfo {
        name: "cal_dpo",
        aliases: &[],
        loss: "−logσ(h) + (r₊ − 1/(2·β))² + (r₋ + 1/(2·β))²",
        chosen_weight: "σ(−h) + 1/β − 2·r₊",
        rejected_weight: "σ(−h) + 1/β + 2·r₋",
        source: "Xiao et al. 2024",
        parameters: &["beta"],
        options: REFERENCE,
    },
    ObjectiveInfo {
        name: "dpop",
        aliases: &[],
        loss: "−logσ(β·(h − κ·max(0, −r₊)))",
        chosen_weight: "β·σ(−β·(h − κ·max(0, −r₊)))·(1 + κ·[r₊ < 0])",
        rejected_weight: "β·σ(−β·(h − κ·max(0, −r₊)))",
        source: "Pal et al. 2024 (Smaug)",
        parameters: &["beta", "dpop_lambda"],
        options: REFERENCE,
    },
    ObjectiveInfo {
        name: "nca_pair",
        aliases: &["nca"],
        loss: "−logσ(β·r₊) − logσ(−β·r₊)/2 − logσ(−β·r₋)/2",
        chosen_weight: "β·(σ(−β·r₊) − σ(β·r₊)/2)",
        rejected_weight: "β·σ(β·r₋)/2",
        source: "Chen et al. 2024 (NCA)",
        parameters: &["beta"],
        options: REFERENCE,
    },
    ObjectiveInfo {
        name: "bco_pair",
        aliases: &["bco"],
        loss: "−logσ(β·r₊ − ρ) − logσ(ρ − β·r₋)",
        chosen_weight: "β·σ(ρ − β·r₊)",
        rejected_weight: "β·σ(β·r₋ − ρ)",
        source: "Jung et al. 2024; TRL has ρ = 0",
        parameters: &["beta", "reward_shift"],
        options: REFERENCE,
    },
    ObjectiveInfo {
        name: "apo_zero",
        aliases: &[],
        loss: "σ(−β·r₊) + σ(β·r₋)",
        chosen_weight: "β·σ(β·r₊)·σ(−β·r₊)",
        rejected_weight: "β·σ(β·r₋)·σ(−β·r₋)",
        source: "D'Oosterlinck et al. 2024",
        parameters: &["beta"],
        options: REFERENCE,
    },
    ObjectiveInfo {
        name: "apo_down",
        aliases: &[],
        loss: "σ(β·r₊) + σ(−β·h)",
        chosen_weight: "β·(σ(β·h)·σ(−β·h) − σ(β·r₊)·σ(−β·r₊))",
        rejected_weight: "β·σ(β·h)·σ(−β·h)",
        source: "D'Oosterlinck et al. 2024",
        parameters: &["beta"],
        options: REFERENCE,
    },
    ObjectiveInfo {
        name: "slic",
        aliases: &[],
        loss: "max(0, δ − g) − λ·ℓ₊",
        chosen_weight: "[g < δ] + λ",
        rejected_weight: "[g < δ]",
        source: "Zhao et al. 2023",
        parameters: &["delta", "sft_weight"],
        options: PLAIN,
    },
    ObjectiveInfo {
        name: "cpo",
        aliases: &[],
        loss: "−(1 − ε)·logσ(β·g) − ε·logσ(−β·g) − α·ℓ₊/L₊",
        chosen_weight: "β·(1 − ε − σ(β·g)) + α/L₊",
        rejected_weight: "β·(1 − ε − σ(β·g))",
        source: "Xu et al. 2024",
        parameters: &["beta", "label_smoothing", "cpo_alpha"],
        options: NONE,
    },
    ObjectiveInfo {
        name: "simpo",
        aliases: &[],
        loss: "−(1 − ε)·logσ(β·s − γ) − ε·logσ(γ − β·s)",
        chosen_weight: "β·(1 − ε − σ(β·s − γ))/L₊",
        rejected_weight: "β·(1 − ε − σ(β·s − γ))/L₋",
        source: "Meng et al. 2024",
        parameters: &["beta", "label_smoothing", "simpo_gamma"],
        options: PLAIN,
    },
    ObjectiveInfo {
        name: "orpo",
        aliases: &[],
        loss: "−ℓ₊/L₊ − β·logσ(o)",
        chosen_weight: "(1 + β·σ(−o)/(1 − exp(ℓ₊/L₊)))/L₊",
        rejected_weight: "β·σ(−o)/(1 − exp(ℓ₋/L₋))/L₋",
        source: "Hong et al. 2024; β is their λ",
        parameters: &["beta"],
        options: NONE,
    },
];

/// Losses that are not functions of one pair.
pub const OTHERS: &[TermInfo] = &[
    TermInfo {
        name: "kto",
        of: "desirable",
        loss: "ω₊·σ(β·(z − r))",
        weight: "β·ω₊·σ(β·(r − z))·σ(β·(z − r))",
        source: "Ethayarajh et al. 2024",
        parameters: &["beta", "desirable_weight"],
    },
    TermInfo {
        name: "kto",
        of: "undesirable",
        loss: "ω₋·σ(β·(r − z))",
        weight: "β·ω₋·σ(β·(r − z))·σ(β·(z − r))",
        source: "Ethayarajh et al. 2024",
        parameters: &["beta", "undesirable_weight"],
    },
    TermInfo {
        name: "aot",
        of: "one rank of a batch",
        loss: "−(1 − ε)·logσ(β·t) − ε·logσ(−β·t)",
        weight: "β·(1 − ε − σ(β·t))",
        source: "Melnyk et al. 2024",
        parameters: &["beta", "label_smoothing"],
    },
    TermInfo {
        name: "aot_unpaired",
        of: "one rank of a batch",
        loss: "−(1 − ε)·logσ(β·t) − ε·logσ(−β·t)",
        weight: "β·(1 − ε − σ(β·t))",
        source: "Melnyk et al. 2024",
        parameters: &["beta", "label_smoothing"],
    },
];
