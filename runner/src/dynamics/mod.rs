//! Why did the probability of a response change? The paper's identity
//!
//! ```text
//! Δ log π(y | χ_o)  =  −η · A(χ_o) · K(χ_o, χ_u) · G(χ_u, y_u)  +  O(η²)
//! ```
//!
//! on language models, for the update that an optimiser really makes. Nothing of
//! the size of K is formed: K·G = J_o·(J_uᵀ·G), so that one backward pass gives the
//! update's direction Δθ in weight space ([`train::Update`](crate::train::Update)) and one Jacobian–vector product along it
//! gives the predicted change of every token of every observed response.
//!
//! | module | does |
//! |---|---|
//! | [`predict`] | Δ log π along a direction, and by measurement |
//! | [`decompose`] | one update on observed responses: predicted, actual, remainder, by cause and place |
//! | [`kernel`] | ‖K‖_F by probes, the paper's proxies, the dense kernel of tiny models |
//! | [`gauge`] | predicted against measured while a model trains |
//! | [`triage`] | what DPO would do to each pair, before it is run |

pub mod decompose;
pub mod gauge;
pub mod kernel;
pub mod predict;
pub mod triage;

#[cfg(test)]
mod tests;
