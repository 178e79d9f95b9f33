(** The theorems, for a reader who wants to know what is proved and not how.

    Read the definitions below, then the statements. Everything is over the real numbers of the
    standard library, for every vocabulary size n, every step size s > 0 and every π with full
    support, unless a hypothesis says otherwise. † marks the penalised label; α_i = π′_i/π_i;
    ids such as N4 are those of proofs/STATEMENTS.md, claims and equations those of the paper
    (Ren & Sutherland, ICLR 2025). [proofs/check] prints what each theorem assumes.

    Open, with what is known, is listed in README.md. *)

From Coq Require Import Reals List.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder NegativeStep PositiveStep
  Repeated Entropy Monotone BothSigns Modifiers CounterExamples SharpPositive Kernel Decomposition
  Quoted.
Local Open Scope R_scope.

(** ** The definitions, unfolded *)

(** Labels are 0, …, n − 1; e_y is the one-hot vector; π has full support. *)
Remark sum_none : forall f, sum 0 f = 0.
Proof. reflexivity. Qed.

Remark sum_is : forall n f, sum (S n) f = sum n f + f n.
Proof. reflexivity. Qed.

Remark ind_is : forall i y, ind i y = if Nat.eqb i y then 1 else 0.
Proof. reflexivity. Qed.

Remark mean_is : forall n p f, mean n p f = sum n (fun j => p j * f j).
Proof. reflexivity. Qed.

Remark distribution_is : forall n p,
  distribution n p = ((forall i, (i < n)%nat -> 0 < p i) /\ sum n p = 1).
Proof. reflexivity. Qed.

(** y* is a likeliest label other than y. *)
Remark runner_up_is : forall n p y t,
  runner_up n p y t = ((t < n)%nat /\ t <> y /\ forall i, (i < n)%nat -> i <> y -> p i <= p t).
Proof. reflexivity. Qed.

(** Z, α and π′ for any change d of the logits; the two steps; the threshold. *)
Remark softmax_is : forall n z i, softmax n z i = exp (z i) / sum n (fun j => exp (z j)).
Proof. reflexivity. Qed.

Remark growth_is : forall n p d i, growth n p d i = exp (d i) / sum n (fun j => p j * exp (d j)).
Proof. reflexivity. Qed.

Remark after_is : forall n p d i, after n p d i = p i * growth n p d i.
Proof. reflexivity. Qed.

Remark negative_is : forall p y s i, negative p y s i = s * (p i - ind i y).
Proof. reflexivity. Qed.

Remark positive_is : forall p y s i, positive p y s i = s * (ind i y - p i).
Proof. reflexivity. Qed.

Remark negative_growth_is : forall n p y s i, negative_growth n p y s i = growth n p (negative p y s) i.
Proof. reflexivity. Qed.

Remark positive_growth_is : forall n p y s i, positive_growth n p y s i = growth n p (positive p y s) i.
Proof. reflexivity. Qed.

Remark threshold_is : forall n p y s,
  threshold n p y s = ln (sum n (fun j => p j * exp (negative p y s j))) / s.
Proof. reflexivity. Qed.

Remark ceiling_is : forall n p y s,
  ceiling n p y s = - ln (sum n (fun j => p j * exp (positive p y s j))) / s.
Proof. reflexivity. Qed.

(** A = I − 1πᵀ, the remainder of the first order, the divergence and the entropy. *)
Remark adaptation_is : forall p i j, adaptation p i j = ind i j - p j.
Proof. reflexivity. Qed.

Remark adapt_is : forall n p v i, adapt n p v i = sum n (fun j => adaptation p i j * v j).
Proof. reflexivity. Qed.

Remark norm_sq_is : forall n v, norm_sq n v = sum n (fun i => v i * v i).
Proof. reflexivity. Qed.

Remark remainder_is : forall n p d i, remainder n p d i = ln (after n p d i / p i) - adapt n p d i.
Proof. reflexivity. Qed.

Remark KL_is : forall n p q, KL n p q = mean n p (fun i => ln (p i / q i)).
Proof. reflexivity. Qed.

Remark moved_is : forall z d t j, moved z d t j = z j + sum t (fun u => d u j).
Proof. reflexivity. Qed.

Remark entropy_is : forall n p, entropy n p = - mean n p (fun i => ln (p i)).
Proof. reflexivity. Qed.

Remark logit_is : forall x, logit x = ln ((1 - x) / x).
Proof. reflexivity. Qed.

Remark positive_constant_is : forall x,
  positive_constant x = (1 - 2 * x) * ((1 - x) * (1 - x)) / ln ((1 - x) / x).
Proof. reflexivity. Qed.

(** The kernel of two contexts with Jacobians Jo and Ju (position, label, parameter), the residual, the
    loss's gradient, what a step along it does to the logits, and −η Σ_l A·K·G. *)
Remark kernel_is : forall d Jo Ju m l i j, kernel d Jo Ju m l i j = sum d (fun k => Jo m i k * Ju l j k).
Proof. reflexivity. Qed.

Remark residual_is : forall w p y i, residual w p y i = w * (p i - ind i y).
Proof. reflexivity. Qed.

Remark gradient_is : forall n L J G k,
  gradient n L J G k = sum L (fun l => sum n (fun j => G l j * J l j k)).
Proof. reflexivity. Qed.

Remark logit_change_is : forall d J g eta m i,
  logit_change d J g eta m i = - (eta * sum d (fun k => J m i k * g k)).
Proof. reflexivity. Qed.

Remark minus_eta_AKG_is : forall n d L Jo Ju p G eta m i, minus_eta_AKG n d L Jo Ju p G eta m i
  = - (eta * sum L (fun l => sum n (fun a => adaptation p i a * sum n (fun j => kernel d Jo Ju m l a j * G l j)))).
Proof. reflexivity. Qed.

Remark frobenius_sq_is : forall n K, frobenius_sq n K = sum n (fun i => sum n (fun j => K i j * K i j)).
Proof. reflexivity. Qed.

(** A linear read-out W of h features, its Jacobian (W row by row), and W after a step on L positions. *)
Remark readout_is : forall h W phi i, readout h W phi i = sum h (fun b => W i b * phi b).
Proof. reflexivity. Qed.

Remark readout_jacobian_is : forall h phi l i k,
  readout_jacobian h phi l i k = ind i (k / h) * phi l (Nat.modulo k h).
Proof. reflexivity. Qed.

Remark stepped_is : forall L W phi G eta i b,
  stepped L W phi G eta i b = W i b - eta * sum L (fun l => G l i * phi l b).
Proof. reflexivity. Qed.

(** Many steps: of sizes eta 0, eta 1, …; they add up to infinity; on the logits; with momentum. *)
Remark unlearned_is : forall n p y eta t,
  unlearned n p y eta (S t)
  = after n (unlearned n p y eta t) (negative (unlearned n p y eta t) y (eta t)).
Proof. reflexivity. Qed.

Remark learned_is : forall n p y eta t,
  learned n p y eta (S t) = after n (learned n p y eta t) (positive (learned n p y eta t) y (eta t)).
Proof. reflexivity. Qed.

Remark diverges_is : forall eta,
  diverges eta = forall m, exists k, forall t, (k <= t)%nat -> m <= sum t eta.
Proof. reflexivity. Qed.

Remark unlearned_logits_is : forall n z y eta t i, unlearned_logits n z y eta (S t) i
  = unlearned_logits n z y eta t i + eta t * (softmax n (unlearned_logits n z y eta t) i - ind i y).
Proof. reflexivity. Qed.

Remark learned_logits_is : forall n z y eta t i, learned_logits n z y eta (S t) i
  = learned_logits n z y eta t i + eta t * (ind i y - softmax n (learned_logits n z y eta t) i).
Proof. reflexivity. Qed.

Remark with_momentum_is : forall n z y mu eta t,
  with_momentum n z y mu eta t = softmax n (fst (heavy_ball n z y mu eta t)).
Proof. reflexivity. Qed.

Remark heavy_ball_is : forall n z y mu eta t,
  heavy_ball n z y mu eta (S t)
  = let (w, v) := heavy_ball n z y mu eta t in
    let v' := fun i => mu * v i + (softmax n w i - ind i y) in
    (fun i => w i + eta t * v' i, v').
Proof. reflexivity. Qed.

(** Both signs, in one context and in two of overlap rho; the other variations of the step. *)
Remark both_signs_is : forall p a b wp wm s i,
  both_signs p a b wp wm s i = s * (wp * (ind i a - p i) - wm * (ind i b - p i)).
Proof. reflexivity. Qed.

Remark overlapping_chosen_is : forall pp pm a b rho s i,
  overlapping_chosen pp pm a b rho s i = s * (ind i a - pp i - rho * (ind i b - pm i)).
Proof. reflexivity. Qed.

Remark overlapping_is : forall pp pm a b rho s i,
  overlapping pp pm a b rho s i = s * (rho * (ind i a - pp i) - (ind i b - pm i)).
Proof. reflexivity. Qed.

Remark smoothed_is : forall n p y eps s i,
  smoothed n p y eps s i = s * (p i - ((1 - eps) * ind i y + eps / INR n)).
Proof. reflexivity. Qed.

Remark decayed_is : forall n z y kappa s i,
  decayed n z y kappa s i = (1 - kappa) * z i + s * (softmax n z i - ind i y).
Proof. reflexivity. Qed.

Remark decayed_logits_is : forall n z y kappa s t,
  decayed_logits n z y kappa s (S t) = decayed n (decayed_logits n z y kappa s t) y kappa s.
Proof. reflexivity. Qed.

Remark rmsprop_first_is : forall p y lr a i, rmsprop_first p y lr a i
  = lr * (p i - ind i y) / sqrt ((1 - a) * ((p i - ind i y) * (p i - ind i y))).
Proof. reflexivity. Qed.

(** π_y = e and the others in their proportions, by the logit of y alone; less of y in the same
    proportions; the rest's growth; a tilt of the mass off y. *)
Remark reweighted_is : forall p y e i,
  reweighted p y e i = if Nat.eqb i y then e else (1 - e) * (p i / (1 - p y)).
Proof. reflexivity. Qed.

Remark relabelled_is : forall n z y e i, relabelled n z y e i
  = if Nat.eqb i y then ln (sum n (fun j => (1 - ind j y) * exp (z j))) + ln (e / (1 - e)) else z i.
Proof. reflexivity. Qed.

Remark lighter_is : forall n y p q,
  lighter n y p q
  = (p y < q y /\ forall i, (i < n)%nat -> i <> y -> p i * (1 - q y) = q i * (1 - p y)).
Proof. reflexivity. Qed.

Remark rest_growth_is : forall n p y t s,
  rest_growth n p y t s
  = (1 - after n p (negative p y s) y - after n p (negative p y s) t) / (1 - p y - p t).
Proof. reflexivity. Qed.

Remark peakier_is : forall n y p q,
  peakier n y p q
  = (q y = p y /\ exists w,
       (forall j, (j < n)%nat -> j <> y -> q j = p j * w j) /\
       (forall i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y -> p i <= p j -> w i <= w j)).
Proof. reflexivity. Qed.

(** The π of the examples. *)
Remark uniform_is : forall n i, uniform n i = 1 / INR n.
Proof. reflexivity. Qed.

Remark split_rest_is : forall m i, split_rest m i = match i with O => m | _ => (1 - m) / 2 end.
Proof. reflexivity. Qed.

Remark quarter_is : forall i, quarter i = match i with O => 1 / 4 | _ => 3 / 4 end.
Proof. reflexivity. Qed.

Remark listed_is : forall l i, listed l i = nth i l 0.
Proof. reflexivity. Qed.

Remark examples_are :
  half_quarters = listed (1/2 :: 1/4 :: 1/4 :: nil) /\
  four = listed (6/10 :: 3/10 :: 999/10000 :: 1/10000 :: nil) /\
  (forall e, rescaled e
     = listed ((1 - e) * (6/10) :: (1 - e) * (25/100) :: (1 - e) * (1/10)
               :: (1 - e) * (5/100) :: e :: nil)) /\
  (forall e, pair e = listed (1 - e :: e :: nil)) /\
  (forall e, triple e = listed ((1 - e) * (6/10) :: (1 - e) * (4/10) :: e :: nil)) /\
  bystander = listed (45/100 :: 35/100 :: 2/10 :: nil) /\
  peaked = listed (99/100 :: 5/1000 :: 5/1000 :: nil) /\
  confident = listed (7/10 :: 15/100 :: 15/100 :: nil) /\
  rare_target = listed (9/10 :: 5/100 :: 5/100 :: nil) /\
  close_pair = listed (1/2 :: 4/10 :: 1/10 :: nil) /\
  rejected_context = listed (1/100 :: 89/100 :: 1/10 :: nil) /\
  chosen_context = listed (5/100 :: 5/100 :: 9/10 :: nil) /\
  spread = listed (3 :: 0 :: - (3) :: nil) /\
  crowd = listed (200/1000 :: 175/1000 :: 25/1000 :: 25/1000 :: 25/1000 :: 25/1000 :: 25/1000
                  :: 500/1000 :: nil) /\
  squared = listed (99/100 * (25/38) :: 99/100 * (9/38) :: 99/100 * (4/38) :: 1/100 :: nil) /\
  eighth_power = listed (99/100 * (390625/397442) :: 99/100 * (6561/397442) :: 99/100 * (256/397442)
                         :: 1/100 :: nil) /\
  graded = listed (6/10 :: 3/10 :: 1/10 :: nil) /\
  rare_chosen = listed (6/10 :: 1/100 :: 39/100 :: nil) /\
  five = listed (4 :: 1 :: 0 :: - (1) :: - (3) :: nil).
Proof. repeat split. Qed.

(** ** One softmax, moved by any d (paper: Lemma 1) *)

(** Every π with full support is a softmax, so statements about π are statements about logits. *)
Theorem every_distribution_is_a_softmax :
  forall n p i, distribution n p -> (i < n)%nat ->
  softmax n (fun j => ln (p j)) i = p i.
Proof. exact Softmax.softmax_of_ln. Qed.

(** N0: softmax(z + d)_i = π_i·α_i with α_i = e^{d_i}/Z. *)
Theorem logits_move_probabilities :
  forall n z d i, (0 < n)%nat ->
  softmax n (fun j => z j + d j) i = after n (softmax n z) d i.
Proof. exact Softmax.softmax_moved. Qed.

(** α is ordered as d … *)
Theorem growth_is_ordered_by_the_move :
  forall n p, distribution n p -> forall d i j,
  growth n p d i < growth n p d j <-> d i < d j.
Proof. exact Softmax.growth_lt. Qed.

(** … and α_i > 1 exactly if d_i > log Z. *)
Theorem rises_iff_above_log_partition :
  forall n p, distribution n p -> forall d i,
  1 < growth n p d i <-> ln (partition n p d) < d i.
Proof. exact Softmax.growth_gt_1. Qed.

(** An equal change of all logits changes nothing. *)
Theorem equal_moves_change_nothing :
  forall n p d c i, distribution n p ->
  growth n p (fun j => d j + c) i = growth n p d i.
Proof. exact Softmax.growth_shift. Qed.

(** With V ≥ 2 there is a y*. *)
Theorem runner_up_exists :
  forall n p y, (2 <= n)%nat ->
  exists t, runner_up n p y t.
Proof. exact Softmax.runner_up_exists. Qed.

(** ** The adaptation matrix (paper: §2, App. B.1, App. C) *)

(** A1: A·v = v − ⟨π, v⟩·1 … *)
Theorem adapt_value :
  forall n p v i, (i < n)%nat ->
  adapt n p v i = v i - mean n p v.
Proof. exact Adaptation.adapt_value. Qed.

(** … and Aᵀ·v = v − (Σv)·π. *)
Theorem adapt_transposed :
  forall n p v j, (j < n)%nat ->
  sum n (fun i => v i * adaptation p i j) = v j - sum n v * p j.
Proof. exact Adaptation.adapt_transposed. Qed.

(** A2: A·1 = 0. *)
Theorem adapt_constant :
  forall n p, distribution n p -> forall c i, (i < n)%nat ->
  adapt n p (fun _ => c) i = 0.
Proof. exact Adaptation.adapt_constant. Qed.

(** A3: πᵀA = 0: the first-order change conserves probability. *)
Theorem adapt_conserves :
  forall n p, distribution n p -> forall v,
  mean n p (adapt n p v) = 0.
Proof. exact Adaptation.adapt_conserves. Qed.

(** A4: A² = A. *)
Theorem adapt_idempotent :
  forall n p, distribution n p -> forall v i, (i < n)%nat ->
  adapt n p (adapt n p v) i = adapt n p v i.
Proof. exact Adaptation.adapt_idempotent. Qed.

(** tr A = V − 1. *)
Theorem adapt_trace :
  forall n p, distribution n p ->
  sum n (fun i => adaptation p i i) = INR n - 1.
Proof. exact Adaptation.adapt_trace. Qed.

(** A5: diag(π)·A is symmetric … *)
Theorem jacobian_symmetric :
  forall p i j,
  p i * adaptation p i j = p j * adaptation p j i.
Proof. exact Adaptation.jacobian_symmetric. Qed.

(** … with the diagonal π_i(1 − π_i) … *)
Theorem jacobian_diagonal :
  forall p i,
  p i * adaptation p i i = p i * (1 - p i).
Proof. exact Adaptation.jacobian_diagonal. Qed.

(** … has no negative direction … *)
Theorem jacobian_nonnegative :
  forall n p, distribution n p -> forall v,
  0 <= sum n (fun i => v i * (p i * adapt n p v i)).
Proof. exact Adaptation.jacobian_nonnegative. Qed.

(** … and is the derivative of the softmax. *)
Theorem softmax_derivative :
  forall n p, distribution n p -> forall d i, (i < n)%nat ->
  derivable_pt_lim (fun s => after n p (fun j => s * d j) i) 0 (p i * adapt n p d i).
Proof. exact Adaptation.softmax_derivative. Qed.

(** A is the derivative of the log-softmax. *)
Theorem log_softmax_derivative :
  forall n p, distribution n p -> forall d i, (i < n)%nat ->
  derivable_pt_lim (fun s => ln (after n p (fun j => s * d j) i)) 0 (adapt n p d i).
Proof. exact Adaptation.log_softmax_derivative. Qed.

(** A6 (eq. 27–31): ‖A‖²_F = V − 2 + V‖π‖² … *)
Theorem frobenius :
  forall n p, distribution n p ->
  sum n (fun i => sum n (fun j => adaptation p i j * adaptation p i j))
    = INR n - 2 + INR n * norm_sq n p.
Proof. exact Adaptation.frobenius. Qed.

(** … at least V − 1 … *)
Theorem frobenius_lower :
  forall n p, distribution n p ->
  INR n - 1 <= sum n (fun i => sum n (fun j => adaptation p i j * adaptation p i j)).
Proof. exact Adaptation.frobenius_lower. Qed.

(** … and at most 2V − 2. *)
Theorem frobenius_upper :
  forall n p, distribution n p ->
  sum n (fun i => sum n (fun j => adaptation p i j * adaptation p i j)) <= 2 * INR n - 2.
Proof. exact Adaptation.frobenius_upper. Qed.

(** A7: ‖A·v‖² ≤ V‖π‖²·‖v‖² … *)
Theorem operator_norm :
  forall n p, distribution n p -> forall v,
  norm_sq n (adapt n p v) <= INR n * norm_sq n p * norm_sq n v.
Proof. exact Adaptation.operator_norm. Qed.

(** … with equality at 1 − Vπ. *)
Theorem operator_norm_attained :
  forall n p, distribution n p ->
  norm_sq n (adapt n p (fun i => 1 - INR n * p i))
    = INR n * norm_sq n p * norm_sq n (fun i => 1 - INR n * p i).
Proof. exact Adaptation.operator_norm_attained. Qed.

(** … so in some direction, whatever π. *)
Theorem operator_norm_reached :
  forall n p, distribution n p -> (2 <= n)%nat ->
  exists v, 0 < norm_sq n v /\ norm_sq n (adapt n p v) = INR n * norm_sq n p * norm_sq n v.
Proof. exact Adaptation.operator_norm_reached. Qed.

(** A8: at a uniform π, ‖π‖² is 1/V, not 1/√V (App. C). *)
Theorem uniform_norm :
  forall n, (0 < n)%nat ->
  norm_sq n (uniform n) = 1 / INR n.
Proof. exact CounterExamples.uniform_norm. Qed.

(** ** What the first order leaves out (paper: eq. 3) *)

(** R1: Δ log π = A·Δz − KL(π ‖ π′)·1, from softmax(z) to softmax(z + Δz). *)
Theorem exact_change :
  forall n z d i, (i < n)%nat ->
  ln (softmax n (fun j => z j + d j) i) - ln (softmax n z i)
    = adapt n (softmax n z) d i - KL n (softmax n z) (softmax n (fun j => z j + d j)).
Proof. exact Decomposition.exact_change. Qed.

(** R2: r = −KL(π ‖ π′), the same for every label. *)
Theorem remainder_is_kl :
  forall n p, distribution n p -> forall d i, (i < n)%nat ->
  remainder n p d i = - KL n p (after n p d).
Proof. exact Remainder.remainder_is_KL. Qed.

(** R3: r ≤ 0 … *)
Theorem remainder_nonpositive :
  forall n p, distribution n p -> forall d i, (i < n)%nat ->
  remainder n p d i <= 0.
Proof. exact Remainder.remainder_nonpos. Qed.

(** … and r ≥ −(max d − min d)²/8. *)
Theorem kl_hoeffding :
  forall n p d a b, distribution n p -> (forall i, (i < n)%nat -> a <= d i <= b) ->
  KL n p (after n p d) <= (b - a) * (b - a) / 8.
Proof. exact Remainder.KL_hoeffding. Qed.

(** R4: for a negative step, KL ≤ s²(1 − π_y + π_{y*})²/8 … *)
Theorem negative_step_remainder :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  KL n p (after n p (negative p y s)) <= s * s * ((1 - p y + p t) * (1 - p y + p t)) / 8.
Proof. exact Remainder.negative_hoeffding. Qed.

(** … and for a positive step. *)
Theorem positive_step_remainder :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  KL n p (after n p (positive p y s)) <= s * s * ((1 - p y + p t) * (1 - p y + p t)) / 8.
Proof. exact Remainder.positive_hoeffding. Qed.

(** R5: z = W·φ and one example (φ, y): the gradient of −log π_y by W is (π − e_y)φᵀ … *)
Theorem readout_gradient :
  forall n h W phi y D, (y < n)%nat ->
  derivable_pt_lim (fun s => - ln (softmax n (readout h (fun i b => W i b + s * D i b) phi) y)) 0
    (sum n (fun i => sum h (fun b => (softmax n (readout h W phi) i - ind i y) * phi b * D i b))).
Proof. exact Kernel.readout_gradient. Qed.

(** … and a step of size η along it moves the logits by −s(π − e_y), s = η‖φ‖². *)
Theorem regression_step :
  forall n h W phi y eta i,
  readout h (stepped 1 W (fun _ => phi) (fun _ => residual 1 (softmax n (readout h W phi)) y) eta) phi i
    - readout h W phi i
    = - (eta * norm_sq h phi * (softmax n (readout h W phi) i - ind i y)).
Proof. exact Kernel.regression_step. Qed.

(** R6: along a line s·d, r(s)/s² → −Var_π(d)/2 … *)
Theorem remainder_second_order :
  forall n p d i, distribution n p -> (i < n)%nat ->
  limit1_in (fun s => remainder n p (fun j => s * d j) i / (s * s)) (fun s => 0 < s)
    (- (mean n p (fun j => d j * d j) - mean n p d * mean n p d) / 2) 0.
Proof. exact Decomposition.remainder_second_order. Qed.

(** … so for a regression step of either sign r(s/2)/r(s) → 1/4. *)
Theorem halving_quarters_the_remainder :
  forall n p y t i, distribution n p -> (y < n)%nat -> runner_up n p y t -> (i < n)%nat ->
  limit1_in (fun s => remainder n p (negative p y (s / 2)) i / remainder n p (negative p y s) i)
    (fun s => 0 < s) (1 / 4) 0
  /\ limit1_in (fun s => remainder n p (positive p y (s / 2)) i / remainder n p (positive p y s) i)
    (fun s => 0 < s) (1 / 4) 0.
Proof. exact Decomposition.regression_halving. Qed.

(** R8: any steps: predictions and remainders add up to what is measured. *)
Theorem steps_add_up :
  forall n z d T i, (i < n)%nat ->
  ln (softmax n (moved z d T) i) - ln (softmax n z i)
    = sum T (fun t => adapt n (softmax n (moved z d t)) (d t) i)
      - sum T (fun t => KL n (softmax n (moved z d t)) (softmax n (moved z d (S t)))).
Proof. exact Decomposition.steps_add_up. Qed.

(** With τ = 1 − π_y + π_{y*} ≥ 1: KL ≤ s²τ³(2 − τ)/8. *)
Theorem negative_step_remainder_sharp :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  1 <= 1 - p y + p t ->
  KL n p (after n p (negative p y s))
    <= s * s * ((1 - p y + p t) * (1 - p y + p t) * (1 - p y + p t) * (2 - (1 - p y + p t))) / 8.
Proof. exact Remainder.negative_sharp. Qed.

(** Whatever π and V: −(27/128)s² ≤ r ≤ 0. *)
Theorem negative_step_remainder_uniform :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s -> forall i,
  (i < n)%nat ->
  - (27 / 128) * (s * s) <= remainder n p (negative p y s) i <= 0.
Proof. exact Remainder.negative_remainder_bound. Qed.

(** V = 2, π = (1/4†, 3/4) leaves at least (27/128)s²(1 − s/2) … *)
Theorem negative_step_at_one_quarter :
  forall s, 0 < s ->
  27 / 128 * (s * s) * (1 - s / 2) <= KL 2 quarter (after 2 quarter (negative quarter 0 s)).
Proof. exact Remainder.quarter_KL. Qed.

(** … so 27/128 cannot be lowered. *)
Theorem negative_step_constant_is_optimal :
  forall c, c < 27 / 128 ->
  exists s, 0 < s /\ c * (s * s) < KL 2 quarter (after 2 quarter (negative quarter 0 s)).
Proof. exact Remainder.negative_optimal. Qed.

(** With F(x) = (1 − 2x)(1 − x)²/log((1 − x)/x): any bound C of F on (0, 1/2) gives KL ≤ C·s² for
    every positive step … *)
Theorem positive_step_remainder_uniform :
  forall n p y c s C, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s ->
  (forall x, 0 < x < 1 / 2 -> positive_constant x <= C) ->
  KL n p (after n p (positive p y s)) <= C * (s * s).
Proof. exact SharpPositive.positive_uniform. Qed.

(** … and F(x)·s² is attained, at V = 2 and π_y = x. *)
Theorem positive_step_constant_is_attained :
  forall x, 0 < x < 1 / 2 ->
  let s := logit x / (1 - x) in 0 < s
    /\ KL 2 (pair x) (after 2 (pair x) (positive (pair x) 1 s)) = positive_constant x * (s * s).
Proof. exact SharpPositive.positive_attained. Qed.

(** So 27/128 does not hold for a positive step: V = 2, π = (9/10, 1/10 target). *)
Theorem positive_step_exceeds_negative_constant :
  exists s, 0 < s
    /\ 27 / 128 * (s * s)
      < KL 2 (pair (1 / 10)) (after 2 (pair (1 / 10)) (positive (pair (1 / 10)) 1 s)).
Proof. exact SharpPositive.positive_exceeds_negative. Qed.

(** ** The kernel (paper: §2, eq. 3–7, App. C) *)

(** K1: K(χ_o, χ_u) = K(χ_u, χ_o)ᵀ. *)
Theorem kernel_transposed :
  forall d Jo Ju m l i j,
  kernel d Jo Ju m l i j = kernel d Ju Jo l m j i.
Proof. exact Kernel.kernel_transposed. Qed.

(** K2: over all M positions of one context, gᵀ·K·g ≥ 0. *)
Theorem kernel_nonnegative :
  forall n d M J (g : nat -> nat -> R),
  0 <= sum M (fun m => sum n (fun i =>
         g m i * sum M (fun l => sum n (fun j => kernel d J J m l i j * g l j)))).
Proof. exact Kernel.kernel_nonnegative. Qed.

(** K3: K_{m,l}·g is J_m·(J_lᵀ·g), without the matrix … *)
Theorem kernel_product :
  forall n d Jo Ju m l g i,
  sum n (fun j => kernel d Jo Ju m l i j * g j)
    = sum d (fun k => Jo m i k * sum n (fun j => g j * Ju l j k)).
Proof. exact Kernel.kernel_product. Qed.

(** … and for a linear read-out, whose Jacobian this is … *)
Theorem readout_linear :
  forall n h W phi l i, (i < n)%nat ->
  readout h W (phi l) i
    = sum (n * h) (fun k => readout_jacobian h phi l i k * W (Nat.div k h) (Nat.modulo k h)).
Proof. exact Kernel.readout_linear. Qed.

(** … K_{m,l} = ⟨φ_m, φ_l⟩·I. *)
Theorem readout_kernel :
  forall n h po pu m l i j, (i < n)%nat ->
  kernel (n * h) (readout_jacobian h po) (readout_jacobian h pu) m l i j
    = sum h (fun b => po m b * pu l b) * ind i j.
Proof. exact Kernel.readout_kernel. Qed.

(** K4: ‖K‖_F² by products with unit vectors … *)
Theorem frobenius_by_products :
  forall n K,
  frobenius_sq n K = sum n (fun k => norm_sq n (fun i => sum n (fun j => K i j * ind j k))).
Proof. exact Kernel.frobenius_by_products. Qed.

(** … ‖k·I‖_F = |k|√V … *)
Theorem norm_of_scaled_identity :
  forall n k,
  sqrt (frobenius_sq n (fun i j => k * ind i j)) = Rabs k * sqrt (INR n).
Proof. exact Kernel.norm_scaled_identity. Qed.

(** … and so for a linear read-out. *)
Theorem readout_kernel_norm :
  forall n h po pu m l,
  sqrt (frobenius_sq n (kernel (n * h) (readout_jacobian h po) (readout_jacobian h pu) m l))
    = Rabs (sum h (fun b => po m b * pu l b)) * sqrt (INR n).
Proof. exact Kernel.readout_kernel_norm. Qed.

(** G: w(π − e_y) is the derivative of −w·log π_y by the logits. *)
Theorem residual_is_gradient :
  forall n z w y d, (y < n)%nat ->
  derivable_pt_lim (fun s => - (w * ln (softmax n (fun j => z j + s * d j) y))) 0
    (sum n (fun j => residual w (softmax n z) y j * d j)).
Proof. exact Kernel.residual_is_gradient. Qed.

(** K5: A times what the step θ − η Σ_l J_lᵀG_l does to the logits is −η Σ_l A·K_{m,l}·G_l … *)
Theorem prediction_written_out :
  forall n d L Jo Ju p G eta m i,
  adapt n p (logit_change d Jo (gradient n L Ju G) eta m) i = minus_eta_AKG n d L Jo Ju p G eta m i.
Proof. exact Kernel.prediction_written_out. Qed.

(** … and A times the derivative of the logits along the step is that of log π. *)
Theorem log_softmax_along :
  forall n (z : R -> nat -> R) d i, (i < n)%nat ->
  (forall j, (j < n)%nat -> derivable_pt_lim (fun e => z e j) 0 (d j)) ->
  derivable_pt_lim (fun e => ln (softmax n (z e) i)) 0 (adapt n (softmax n (z 0)) d i).
Proof. exact Decomposition.log_softmax_along. Qed.

(** K6: for a pair, whose step is θ − η(Σ J⁺ᵀG₊ − Σ J⁻ᵀG₋), the minus stands outside. *)
Theorem pair_prediction :
  forall n d Lp Lm Jo Jp Jm p Gp Gm eta m i,
  adapt n p (logit_change d Jo (fun k => gradient n Lp Jp Gp k - gradient n Lm Jm Gm k) eta m) i
    = minus_eta_AKG n d Lp Jo Jp p Gp eta m i - minus_eta_AKG n d Lm Jo Jm p Gm eta m i.
Proof. exact Kernel.pair_prediction. Qed.

(** K7: equal weights, the same contexts up to position c, where the tokens first differ: up to there
    only e₊ − e₋ at c is left … *)
Theorem shared_prefix_cancels :
  forall n Lp Lm c w Jp Jm pp pm yp ym, (c < Lp)%nat -> (c < Lm)%nat ->
  (forall l i k, (l <= c)%nat -> Jp l i k = Jm l i k) -> (forall l i, (l <= c)%nat -> pp l i = pm l i) ->
  (forall l, (l < c)%nat -> yp l = ym l) ->
  let Gp := fun l => residual w (pp l) (yp l) in
  let Gm := fun l => residual w (pm l) (ym l) in
  forall k,
  gradient n Lp Jp Gp k - gradient n Lm Jm Gm k
    = - (w * sum n (fun j => (ind j (yp c) - ind j (ym c)) * Jp c j k))
      + (gradient n (Lp - S c) (fun u => Jp (S c + u)%nat) (fun u => Gp (S c + u)%nat) k
         - gradient n (Lm - S c) (fun u => Jm (S c + u)%nat) (fun u => Gm (S c + u)%nat) k).
Proof. exact Kernel.shared_prefix_cancels. Qed.

(** … and where both end there, Δz = η·w·K_{m,c}(e₊ − e₋). *)
Theorem first_difference :
  forall n Lp Lm c w Jp Jm pp pm yp ym, (c < Lp)%nat -> (c < Lm)%nat ->
  (forall l i k, (l <= c)%nat -> Jp l i k = Jm l i k) -> (forall l i, (l <= c)%nat -> pp l i = pm l i) ->
  (forall l, (l < c)%nat -> yp l = ym l) ->
  let Gp := fun l => residual w (pp l) (yp l) in
  let Gm := fun l => residual w (pm l) (ym l) in
  forall d Jo eta m i, Lp = S c -> Lm = S c ->
  logit_change d Jo (fun k => gradient n Lp Jp Gp k - gradient n Lm Jm Gm k) eta m i
    = eta * w * sum n (fun j => kernel d Jo Jp m c i j * (ind j (yp c) - ind j (ym c))).
Proof. exact Kernel.first_difference. Qed.

(** K8: with frozen features a step on L positions is, in any context χ, its prediction and −KL. *)
Theorem frozen_features :
  forall n h L W phi G eta chi i, (i < n)%nat ->
  let p := softmax n (readout h W chi) in
  let p' := softmax n (readout h (stepped L W phi G eta) chi) in
  ln (p' i) - ln (p i)
    = - (eta * sum L (fun l => sum h (fun b => chi b * phi l b) * adapt n p (G l) i)) - KL n p p'.
Proof. exact Kernel.frozen_features. Qed.

(** K9: a network whose logits move by e·d up to C·e²: the prediction's error is of second order. *)
Theorem network_error :
  forall n (z : R -> nat -> R) d a b C e i, (i < n)%nat -> (forall j, (j < n)%nat -> a <= d j <= b) ->
  (forall j, (j < n)%nat -> Rabs (z e j - z 0 j - e * d j) <= C * (e * e)) ->
  Rabs (ln (softmax n (z e) i) - ln (softmax n (z 0) i) - e * adapt n (softmax n (z 0)) d i)
    <= (2 * C + (b - a) * (b - a) / 8) * (e * e).
Proof. exact Decomposition.network_error. Qed.

(** ** One negative step, every step size (paper: §3.3, App. E) *)

(** N1 (Claim 1): α_y < 1 … *)
Theorem label_falls :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  negative_growth n p y s y < 1.
Proof. exact NegativeStep.label_falls. Qed.

(** … and α_y is below every other. *)
Theorem label_falls_most :
  forall n p y s, distribution n p -> (y < n)%nat -> 0 < s -> forall i, (i < n)%nat -> i <> y ->
  negative_growth n p y s y < negative_growth n p y s i.
Proof. exact NegativeStep.label_falls_most. Qed.

(** N2 (Claim 2): α_{y*} > 1 … *)
Theorem runner_up_rises :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  1 < negative_growth n p y s t.
Proof. exact NegativeStep.runner_up_rises. Qed.

(** … and is the largest … *)
Theorem runner_up_rises_most :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s -> forall i,
  (i < n)%nat ->
  negative_growth n p y s i <= negative_growth n p y s t.
Proof. exact NegativeStep.runner_up_rises_most. Qed.

(** … tied exactly with the labels other than y that are as likely. *)
Theorem ties_at_the_top :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s -> forall i,
  (i < n)%nat ->
  negative_growth n p y s i = negative_growth n p y s t <-> i <> y /\ p i = p t.
Proof. exact NegativeStep.ties_at_the_top. Qed.

(** Among the others the likelier grows more, and only it. *)
Theorem growth_order :
  forall n p y s, distribution n p -> 0 < s -> forall i j, i <> y -> j <> y ->
  negative_growth n p y s i < negative_growth n p y s j <-> p i < p j.
Proof. exact NegativeStep.growth_order. Qed.

(** N3: Δ log(π_i/π_j) = s(π_i − π_j) for i, j ≠ y … *)
Theorem odds_change :
  forall n p y s, distribution n p -> forall i j, (i < n)%nat -> (j < n)%nat -> i <> y ->
  j <> y ->
  ln (after_negative n p y s i / after_negative n p y s j) - ln (p i / p j) = s * (p i - p j).
Proof. exact NegativeStep.odds_change. Qed.

(** … and Δ log(π_i/π_y) = s(1 + π_i − π_y) > 0. *)
Theorem odds_change_against_label :
  forall n p y s, distribution n p -> (y < n)%nat -> 0 < s -> forall i, (i < n)%nat -> i <> y ->
  ln (after_negative n p y s i / after_negative n p y s y) - ln (p i / p y) = s * (1 + p i - p y)
    /\ 0 < s * (1 + p i - p y).
Proof. exact NegativeStep.odds_change_against_label. Qed.

(** N4: i ≠ y rises exactly if π_i > τ(s) … *)
Theorem riser_iff_above_threshold :
  forall n p y s, distribution n p -> 0 < s -> forall i, i <> y ->
  1 < negative_growth n p y s i <-> threshold n p y s < p i.
Proof. exact NegativeStep.riser_iff_above_threshold. Qed.

(** … and falls exactly if π_i < τ(s). *)
Theorem faller_iff_below_threshold :
  forall n p y s, distribution n p -> 0 < s -> forall i, i <> y ->
  negative_growth n p y s i < 1 <-> p i < threshold n p y s.
Proof. exact NegativeStep.faller_iff_below_threshold. Qed.

(** π_y − 1 < τ(s) < π_{y*}. *)
Theorem threshold_range :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  p y - 1 < threshold n p y s < p t.
Proof. exact NegativeStep.threshold_range. Qed.

(** τ does not decrease in s … *)
Theorem threshold_nondecreasing :
  forall n p y, distribution n p -> forall s s', 0 < s -> s <= s' ->
  threshold n p y s <= threshold n p y s'.
Proof. exact NegativeStep.threshold_nondecreasing. Qed.

(** … so the set of risers shrinks. *)
Theorem risers_shrink :
  forall n p y, distribution n p -> forall (s s' : R) i, 0 < s -> s <= s' -> i <> y ->
  1 < negative_growth n p y s' i ->
  1 < negative_growth n p y s i.
Proof. exact NegativeStep.risers_shrink. Qed.

(** τ(s) > ‖π‖² − π_y, its limit for short steps … *)
Theorem threshold_above_start :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  norm_sq n p - p y < threshold n p y s.
Proof. exact NegativeStep.threshold_above_start. Qed.

(** … by at most s(1 − π_y + π_{y*})²/8. *)
Theorem threshold_near_start :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  threshold n p y s - (norm_sq n p - p y) <= s * ((1 - p y + p t) * (1 - p y + p t)) / 8.
Proof. exact NegativeStep.threshold_near_start. Qed.

(** τ(s) ≥ π_{y*} + (log π_{y*})/s: its limit for long steps is π_{y*}. *)
Theorem threshold_near_end :
  forall n p y t s, distribution n p -> runner_up n p y t -> 0 < s ->
  p t - threshold n p y s <= - ln (p t) / s.
Proof. exact NegativeStep.threshold_near_end. Qed.

(** N5: π_i ≤ ‖π‖² − π_y falls at every step size … *)
Theorem falls_if_below_start :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s -> forall i,
  i <> y -> p i <= norm_sq n p - p y ->
  negative_growth n p y s i < 1.
Proof. exact NegativeStep.falls_if_below_start. Qed.

(** … and π_i > ‖π‖² − π_y rises at small ones. *)
Theorem rises_if_above_start :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s -> forall i,
  i <> y -> s * ((1 - p y + p t) * (1 - p y + p t)) / 8 < p i - (norm_sq n p - p y) ->
  1 < negative_growth n p y s i.
Proof. exact NegativeStep.rises_if_above_start. Qed.

(** If π_y ≥ ‖π‖² every other label rises at first … *)
Theorem all_rise_if_label_is_likely :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  norm_sq n p <= p y -> forall i, (i < n)%nat -> i <> y -> s <= 2 * p i ->
  1 < negative_growth n p y s i.
Proof. exact NegativeStep.all_rise_if_label_is_likely. Qed.

(** … as where y is the argmax. *)
Theorem argmax_is_likely :
  forall n p y, distribution n p -> (forall i, (i < n)%nat -> p i <= p y) ->
  norm_sq n p <= p y.
Proof. exact PositiveStep.argmax_is_likely. Qed.

(** N6 (Claim 3C): if π_{y*} > 1/√3 every label but y* falls, at every step size. *)
Theorem others_fall_above_one_over_root_three :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  1 / sqrt 3 < p t -> forall i, (i < n)%nat -> i <> t ->
  negative_growth n p y s i < 1.
Proof. exact NegativeStep.others_fall_above_one_over_root_three. Qed.

(** Below 1/√3 the second of (m, (1−m)/2, (1−m)/2†) rises at some step size. *)
Theorem one_over_root_three_is_sharp :
  forall m, 1 / 3 <= m < 1 / sqrt 3 ->
  exists s, 0 < s /\ 1 < negative_growth 3 (split_rest m) 2 s 1.
Proof. exact NegativeStep.one_over_root_three_is_sharp. Qed.

(** N7: log α_i is concave in s … *)
Theorem log_growth_concave :
  forall n p y, distribution n p -> forall (s s' l : R) i, 0 <= l <= 1 ->
  l * ln (negative_growth n p y s i) + (1 - l) * ln (negative_growth n p y s' i)
    <= ln (negative_growth n p y (l * s + (1 - l) * s') i).
Proof. exact NegativeStep.log_growth_concave. Qed.

(** … α_{y*} increases … *)
Theorem runner_up_growth_increasing :
  forall n p y, distribution n p -> (y < n)%nat -> forall t (s s' : R), runner_up n p y t ->
  s < s' ->
  negative_growth n p y s t < negative_growth n p y s' t.
Proof. exact NegativeStep.runner_up_growth_increasing. Qed.

(** … and α_y decreases. *)
Theorem label_growth_decreasing :
  forall n p y, distribution n p -> (y < n)%nat -> forall (s s' : R) k, (k < n)%nat -> k <> y ->
  s < s' ->
  negative_growth n p y s' y < negative_growth n p y s y.
Proof. exact NegativeStep.label_growth_decreasing. Qed.

(** N8: α_i > e^{−s(π_{y*} − π_i)} > e^{−s} for i ≠ y … *)
Theorem growth_lower_bound :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s -> forall i,
  (i < n)%nat -> i <> y ->
  exp (- s) < exp (- (s * (p t - p i))) < negative_growth n p y s i.
Proof. exact NegativeStep.growth_lower_bound. Qed.

(** … α_y > e^{−s(1 + π_{y*} − π_y)} > e^{−2s} … *)
Theorem label_growth_lower_bound :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  exp (- (2 * s)) < exp (- (s * (1 + p t - p y))) < negative_growth n p y s y.
Proof. exact NegativeStep.label_growth_lower_bound. Qed.

(** … and nothing larger than e^{−s} and e^{−2s} will do. *)
Theorem lower_bounds_are_approached :
  forall s c, 0 < s ->
  (exp (- s) < c -> exists m, 1 / 3 <= m < 1 /\ negative_growth 3 (split_rest m) 2 s 1 < c)
    /\ (exp (- (2 * s)) < c -> exists m, 1 / 3 <= m < 1 /\ negative_growth 3 (split_rest m) 2 s 2
      < c).
Proof. exact NegativeStep.lower_bounds_are_approached. Qed.

(** T7: s(v_i − π_{y*}) ≤ log α_i ≤ s(v_i − π_{y*}) − log π_{y*}, v = π − e_y. *)
Theorem log_growth_range :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s -> forall i,
  s * (p i - ind i y - p t) <= ln (negative_growth n p y s i) <= s * (p i - ind i y - p t) - ln (p t).
Proof. exact NegativeStep.log_growth_range. Qed.

(** N9: π_a < π_b: penalising a gives every third label a smaller α than penalising b. *)
Theorem third_labels_gain_more :
  forall n p a b s k, distribution n p -> (a < n)%nat -> (b < n)%nat -> (k < n)%nat -> k <> a ->
  k <> b -> 0 < s -> p a < p b ->
  negative_growth n p a s k < negative_growth n p b s k.
Proof. exact NegativeStep.third_labels_gain_more. Qed.

(** N10: dπ_i/ds = π_i(π_i − ‖π‖² + π_y) at s = 0: a replicator drift as π_y → 0 … *)
Theorem drift :
  forall n p y, distribution n p -> (y < n)%nat -> forall i, (i < n)%nat -> i <> y ->
  derivable_pt_lim (fun s => after_negative n p y s i) 0 (p i * (p i - norm_sq n p + p y)).
Proof. exact Entropy.drift. Qed.

(** … for y: −π_y(1 − 2π_y + ‖π‖²). *)
Theorem label_drift :
  forall n p y, distribution n p -> (y < n)%nat ->
  derivable_pt_lim (fun s => after_negative n p y s y) 0 (- (p y * (1 - 2 * p y + norm_sq n p))).
Proof. exact Entropy.label_drift. Qed.

(** The drift π_i(v_i − ⟨π, v⟩) is within π_y of the replicator's π_i(π_i − ‖π‖²). *)
Theorem drift_near_replicator :
  forall n p y, distribution n p -> (y < n)%nat -> forall i, (i < n)%nat ->
  Rabs (p i * (p i - ind i y - mean n p (fun j => p j - ind j y)) - p i * (p i - norm_sq n p)) <= p y.
Proof. exact Entropy.drift_near_replicator. Qed.

(** ‖π − e_y‖² = 1 − 2π_y + ‖π‖²: the residual does not vanish with π_y. *)
Theorem residual_norm :
  forall n p y, (y < n)%nat ->
  norm_sq n (fun i => p i - ind i y) = 1 - 2 * p y + norm_sq n p.
Proof. exact Entropy.residual_norm. Qed.

(** N11: dH/ds = −Cov_π(log π, π) + π_y(log π_y + H) at s = 0 … *)
Theorem entropy_derivative :
  forall n p y, distribution n p -> (y < n)%nat ->
  derivable_pt_lim (fun s => entropy n (after_negative n p y s)) 0 (- (mean n p (fun i => ln (p i)
    * p i) - mean n p (fun i => ln (p i)) * norm_sq n p) + p y * (ln (p y) + entropy n p)).
Proof. exact Entropy.entropy_derivative. Qed.

(** … not positive if −log π_y ≥ H … *)
Theorem entropy_derivative_nonpositive :
  forall n p y, distribution n p -> (y < n)%nat -> entropy n p <= - ln (p y) ->
  - (mean n p (fun i => ln (p i) * p i) - mean n p (fun i => ln (p i)) * norm_sq n p)
    + p y * (ln (p y) + entropy n p)
    <= 0.
Proof. exact Entropy.entropy_derivative_nonpositive. Qed.

(** … and negative if π is not uniform. *)
Theorem entropy_derivative_negative :
  forall n p y, distribution n p -> (y < n)%nat -> forall k l, (k < n)%nat -> (l < n)%nat ->
  p k <> p l -> entropy n p <= - ln (p y) ->
  - (mean n p (fun i => ln (p i) * p i) - mean n p (fun i => ln (p i)) * norm_sq n p)
    + p y * (ln (p y) + entropy n p)
    < 0.
Proof. exact Entropy.entropy_derivative_negative. Qed.

(** H(π′) − H(π) = −Σ π_i[(α_i − 1)·log π_i + α_i·log α_i], for any change d of the logits. *)
Theorem entropy_change :
  forall n p, distribution n p -> forall d,
  entropy n (after n p d) - entropy n p
    = - sum n (fun i => p i * ((growth n p d i - 1) * ln (p i) + growth n p d i * ln (growth n p d i))).
Proof. exact Entropy.entropy_change. Qed.

(** N11, beyond first order: if −log π_y ≥ H, the entropy falls at every step size … *)
Theorem entropy_falls :
  forall n p y t, distribution n p -> (y < n)%nat -> runner_up n p y t -> forall s, 0 < s ->
  entropy n p <= - ln (p y) ->
  entropy n (after_negative n p y s) < entropy n p.
Proof. exact Entropy.entropy_falls. Qed.

(** … in particular if π_y ≤ 1/V. *)
Theorem unlikely_label_sharpens :
  forall n p y t, distribution n p -> (y < n)%nat -> runner_up n p y t -> forall s, 0 < s ->
  p y <= 1 / INR n ->
  entropy n (after_negative n p y s) < entropy n p.
Proof. exact Entropy.unlikely_label_sharpens. Qed.

(** N12 (Claim 3A): at a uniform π, α_i = V/(V − 1 + e^{−s}) for i ≠ y. *)
Theorem uniform_growth :
  forall n y s i, (y < n)%nat -> i <> y ->
  negative_growth n (uniform n) y s i = INR n / (INR n - 1 + exp (- s)).
Proof. exact NegativeStep.uniform_growth. Qed.

(** N13: what y and the fallers lose is what y* = t and the risers gain … *)
Theorem books_balance :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t ->
  p y - after_negative n p y s y
    + sum n (fun i => (1 - ind i t) * ((1 - ind i y) * Rmax 0 (p i - after_negative n p y s i)))
    = after_negative n p y s t - p t
      + sum n (fun i => (1 - ind i t) * ((1 - ind i y) * Rmax 0 (after_negative n p y s i - p i))).
Proof. exact NegativeStep.books_balance. Qed.

(** … and y loses, and y* gains. *)
Theorem books_signs :
  forall n p y t s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  0 < p y - after_negative n p y s y /\ 0 < after_negative n p y s t - p t.
Proof. exact NegativeStep.books_signs. Qed.

(** ** What a lighter label and a peakier π change (paper: §3.3, App. E, Claim 4) *)

(** C0: only the logit of y differs, π_y = e: the growth is that of those logits … *)
Theorem reweighted_of_logits :
  forall n z y e s i, (y < n)%nat -> (2 <= n)%nat -> (i < n)%nat -> 0 < e < 1 ->
  let w := relabelled n z y e in
  softmax n (fun j => w j + negative (softmax n w) y s j) i
    = softmax n w i * negative_growth n (reweighted (softmax n z) y e) y s i.
Proof. exact Monotone.reweighted_of_logits. Qed.

(** … whose softmax has π_y = e and the others in their proportions … *)
Theorem softmax_relabelled :
  forall n z y e i, (y < n)%nat -> (2 <= n)%nat -> (i < n)%nat -> 0 < e < 1 ->
  softmax n (relabelled n z y e) i = reweighted (softmax n z) y e i.
Proof. exact Monotone.softmax_relabelled. Qed.

(** … and, the smaller e, is the lighter one of what follows. *)
Theorem reweighted_lighter :
  forall n p y (e f : R), e < f ->
  lighter n y (reweighted p y e) (reweighted p y f).
Proof. exact Monotone.reweighted_lighter. Qed.

(** Same proportions off y, less of y: no loser stops losing. *)
Theorem losers_grow_as_label_shrinks :
  forall n y p q s, distribution n p -> distribution n q -> (y < n)%nat -> (2 <= n)%nat ->
  lighter n y p q -> 0 < s -> forall i, (i < n)%nat -> i <> y ->
  negative_growth n q y s i <= 1 ->
  negative_growth n p y s i < 1.
Proof. exact Monotone.losers_grow_as_label_shrinks. Qed.

(** In the proportions c, α_i/α_j = e^{s(1 − π_y)(c_i − c_j)} … *)
Theorem relative_growth :
  forall n p y c s i j, distribution n p -> (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
  (forall k, (k < n)%nat -> k <> y -> p k = (1 - p y) * c k) ->
  negative_growth n p y s i / negative_growth n p y s j = exp (s * (1 - p y) * (c i - c j)).
Proof. exact Monotone.relative_growth. Qed.

(** … every label loses more against a likelier one. *)
Theorem relative_squeeze :
  forall n y p q s, distribution n p -> distribution n q -> (y < n)%nat -> (2 <= n)%nat ->
  lighter n y p q -> 0 < s -> forall i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
  p i < p j ->
  negative_growth n p y s i / negative_growth n p y s j
    < negative_growth n q y s i / negative_growth n q y s j.
Proof. exact Monotone.relative_squeeze. Qed.

(** … y* holds a larger share of what is off y. *)
Theorem runner_up_share :
  forall n y p q s, distribution n p -> distribution n q -> (y < n)%nat -> (2 <= n)%nat ->
  lighter n y p q -> 0 < s -> forall t k, runner_up n p y t -> (k < n)%nat -> k <> y ->
  p k < p t ->
  after_negative n q y s t / (1 - after_negative n q y s y)
    < after_negative n p y s t / (1 - after_negative n p y s y).
Proof. exact Monotone.runner_up_share. Qed.

(** … y falls by a larger factor. *)
Theorem lighter_label_falls_more :
  forall n y p q s, distribution n p -> distribution n q -> (y < n)%nat -> (2 <= n)%nat ->
  lighter n y p q -> 0 < s ->
  negative_growth n p y s y < negative_growth n q y s y.
Proof. exact Monotone.lighter_label_falls_more. Qed.

(** C7: up to π_y = 1/2, the labels other than y and y* together grow less. *)
Theorem rest_grows_less :
  forall n y t k p q s, distribution n p -> distribution n q -> (y < n)%nat ->
  runner_up n p y t -> (k < n)%nat /\ k <> y /\ k <> t -> lighter n y p q -> q y <= 1 / 2 ->
  0 < s ->
  rest_growth n p y t s < rest_growth n q y t s.
Proof. exact Monotone.rest_grows_less. Qed.

(** First order: d log α_i/ds = (1 − e)((1 + Q)e − (Q − c_i)), e = π_y, c the proportions, Q =
    ‖c‖². *)
Theorem initial_rate :
  forall n p y c i, distribution n p -> (y < n)%nat -> (i < n)%nat -> i <> y -> c y = 0 ->
  (forall j, (j < n)%nat -> j <> y -> p j = (1 - p y) * c j) ->
  derivable_pt_lim (fun s => ln (negative_growth n p y s i)) 0 ((1 - p y) * ((1 + norm_sq n c) * p
    y - (norm_sq n c - c i))).
Proof. exact Monotone.initial_rate. Qed.

(** … so i loses, and at every step size, if π_y < (Q − c_i)/(1 + Q). *)
Theorem initial_losers_fall :
  forall n p y t c s i, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  (i < n)%nat -> i <> y -> c y = 0 -> (forall j, (j < n)%nat -> j <> y -> p j = (1 - p y) * c j) ->
  p y < (norm_sq n c - c i) / (1 + norm_sq n c) ->
  negative_growth n p y s i < 1.
Proof. exact Monotone.initial_losers_fall. Qed.

(** Mass moved between y and one label m: third labels grow less with less of y, if q_y ≤ q_m +
    1/2 … *)
Theorem transfer_squeeze :
  forall n p q y m s k, distribution n p -> distribution n q -> (y < n)%nat -> (m < n)%nat ->
  m <> y -> (k < n)%nat -> k <> y -> k <> m -> 0 < s ->
  (forall j, (j < n)%nat -> j <> y -> j <> m -> p j = q j) -> p y < q y -> q y <= q m + 1 / 2 ->
  negative_growth n p y s k < negative_growth n q y s k.
Proof. exact Monotone.transfer_squeeze. Qed.

(** … and with more than 1/2 a third label (0; m = 1, y = 2) can grow more. *)
Theorem one_half_is_optimal :
  forall c, 1 / 2 < c -> exists p q s,
  distribution 3 p /\ distribution 3 q /\ 0 < s /\ p 0%nat = q 0%nat /\ p 2%nat < q 2%nat
    /\ q 2%nat <= q 1%nat + c /\ negative_growth 3 q 2 s 0 < negative_growth 3 p 2 s 0.
Proof. exact CounterExamples.one_half_is_optimal. Qed.

(** C8: mass off y tilted to its likelier labels: the least likely one loses more. *)
Theorem peakier_least_falls_more :
  forall n y p q s l, distribution n p -> distribution n q -> (y < n)%nat -> peakier n y p q ->
  0 < s -> (l < n)%nat -> l <> y -> (forall j, (j < n)%nat -> j <> y -> p l <= p j) ->
  negative_growth n q y s l <= negative_growth n p y s l.
Proof. exact Monotone.peakier_least_falls_more. Qed.

(** A power b ≥ 1 of the probabilities off y is such a tilt. *)
Theorem tempered_is_peakier :
  forall n y p q b c, 1 <= b -> 0 < c -> (forall j, (j < n)%nat -> 0 < p j) -> q y = p y ->
  (forall j, (j < n)%nat -> j <> y -> q j = c * Rpower (p j) b) ->
  peakier n y p q.
Proof. exact Monotone.tempered_is_peakier. Qed.

(** ** One positive step, every step size (paper: App. E) *)

(** L0: α is the ratio of the softmaxes of z + s(e_y − π) and z. *)
Theorem positive_step_of_logits :
  forall n z y s i, (0 < n)%nat ->
  softmax n (fun j => z j + positive (softmax n z) y s j) i
    = softmax n z i * positive_growth n (softmax n z) y s i.
Proof. exact PositiveStep.positive_step_of_logits. Qed.

(** α_y > 1 … *)
Theorem target_rises :
  forall n p y c s, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s ->
  1 < positive_growth n p y s y.
Proof. exact PositiveStep.target_rises. Qed.

(** … above every other. *)
Theorem target_rises_most :
  forall n p y s, distribution n p -> (y < n)%nat -> 0 < s -> forall i, (i < n)%nat -> i <> y ->
  positive_growth n p y s i < positive_growth n p y s y.
Proof. exact PositiveStep.target_rises_most. Qed.

(** The strongest competitor falls … *)
Theorem competitor_falls :
  forall n p y c s, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s ->
  positive_growth n p y s c < 1.
Proof. exact PositiveStep.competitor_falls. Qed.

(** … most. *)
Theorem competitor_falls_most :
  forall n p y c s, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s -> forall i,
  (i < n)%nat ->
  positive_growth n p y s c <= positive_growth n p y s i.
Proof. exact PositiveStep.competitor_falls_most. Qed.

(** Among the others the likelier grows less. *)
Theorem positive_growth_order :
  forall n p y s, distribution n p -> 0 < s -> forall i j, i <> y -> j <> y ->
  positive_growth n p y s i < positive_growth n p y s j <-> p j < p i.
Proof. exact PositiveStep.positive_growth_order. Qed.

(** Δ log(π_i/π_j) = −s(π_i − π_j) for i, j ≠ y … *)
Theorem positive_odds_change :
  forall n p y s, distribution n p -> forall i j, (i < n)%nat -> (j < n)%nat -> i <> y ->
  j <> y ->
  ln (after_positive n p y s i / after_positive n p y s j) - ln (p i / p j) = - (s * (p i - p j)).
Proof. exact PositiveStep.positive_odds_change. Qed.

(** … and Δ log(π_y/π_i) = s(1 + π_i − π_y). *)
Theorem positive_odds_change_of_target :
  forall n p y s, distribution n p -> (y < n)%nat -> forall i, (i < n)%nat -> i <> y ->
  ln (after_positive n p y s y / after_positive n p y s i) - ln (p y / p i) = s * (1 + p i - p y).
Proof. exact PositiveStep.positive_odds_change_of_target. Qed.

(** I ≠ y rises exactly if π_i is below the ceiling −(log Z)/s … *)
Theorem riser_iff_below_ceiling :
  forall n p y s, distribution n p -> 0 < s -> forall i, i <> y ->
  1 < positive_growth n p y s i <-> p i < ceiling n p y s.
Proof. exact PositiveStep.riser_iff_below_ceiling. Qed.

(** … which is between π_y − 1 and π_{y*} … *)
Theorem ceiling_range :
  forall n p y c s, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s ->
  p y - 1 < ceiling n p y s < p c.
Proof. exact PositiveStep.ceiling_range. Qed.

(** … below ‖π‖² − π_y, its limit for short steps … *)
Theorem ceiling_below_start :
  forall n p y c s, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s ->
  ceiling n p y s < norm_sq n p - p y.
Proof. exact PositiveStep.ceiling_below_start. Qed.

(** … by at most s(1 − π_y + π_{y*})²/8 … *)
Theorem ceiling_near_start :
  forall n p y c s, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s ->
  norm_sq n p - p y - s * ((1 - p y + p c) * (1 - p y + p c)) / 8 <= ceiling n p y s.
Proof. exact PositiveStep.ceiling_near_start. Qed.

(** … and does not increase in s … *)
Theorem ceiling_nonincreasing :
  forall n p y (s s' : R), distribution n p -> 0 < s -> s <= s' ->
  ceiling n p y s' <= ceiling n p y s.
Proof. exact PositiveStep.ceiling_nonincreasing. Qed.

(** … so the set of those that rise along shrinks. *)
Theorem positive_risers_shrink :
  forall n p y (s s' : R) i, distribution n p -> 0 < s -> s <= s' -> i <> y ->
  1 < positive_growth n p y s' i ->
  1 < positive_growth n p y s i.
Proof. exact PositiveStep.positive_risers_shrink. Qed.

(** Once π_y ≥ ‖π‖² all others fall, at every step size. *)
Theorem others_fall_if_target_is_likely :
  forall n p y c s, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s ->
  norm_sq n p <= p y -> forall i, (i < n)%nat -> i <> y ->
  positive_growth n p y s i < 1.
Proof. exact PositiveStep.others_fall_if_target_is_likely. Qed.

(** L7: a label with π_i < ‖π‖² − π_y rises at small step sizes. *)
Theorem small_labels_rise_at_first :
  forall n p y c s, distribution n p -> (y < n)%nat -> runner_up n p y c -> 0 < s -> forall i,
  i <> y -> s * ((1 - p y + p c) * (1 - p y + p c)) / 8 < norm_sq n p - p y - p i ->
  1 < positive_growth n p y s i.
Proof. exact PositiveStep.small_labels_rise_at_first. Qed.

(** ** Many steps on the same context (paper: §3.3) *)

(** The path of π is that of the logits under z ← z + η(π − e_y). *)
Theorem unlearned_of_logits :
  forall n z y eta t i, (i < n)%nat ->
  softmax n (unlearned_logits n z y eta t) i = unlearned n (softmax n z) y eta t i.
Proof. exact Repeated.unlearned_of_logits. Qed.

(** … and of positive steps that under z ← z + η(e_y − π). *)
Theorem learned_of_logits :
  forall n z y eta t i, (i < n)%nat ->
  softmax n (learned_logits n z y eta t) i = learned n (softmax n z) y eta t i.
Proof. exact Repeated.learned_of_logits. Qed.

(** The order of the labels other than y never changes … *)
Theorem order_frozen :
  forall n p y eta, distribution n p -> (forall t, 0 < eta t) -> forall t i j, (i < n)%nat ->
  (j < n)%nat -> i <> y -> j <> y ->
  unlearned n p y eta t i < unlearned n p y eta t j <-> p i < p j.
Proof. exact Repeated.order_frozen. Qed.

(** … and ties stay. *)
Theorem ties_stay :
  forall n p y eta, distribution n p -> (forall t, 0 < eta t) -> forall t i j, (i < n)%nat ->
  (j < n)%nat -> i <> y -> j <> y -> p i = p j ->
  unlearned n p y eta t i = unlearned n p y eta t j.
Proof. exact Repeated.ties_stay. Qed.

(** Y* stays y*. *)
Theorem runner_up_stays :
  forall n p y top eta, distribution n p -> runner_up n p y top -> (forall t, 0 < eta t) ->
  forall t,
  runner_up n (unlearned n p y eta t) y top.
Proof. exact Repeated.runner_up_stays. Qed.

(** π_y falls at every step … *)
Theorem label_keeps_falling :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall t,
  unlearned n p y eta (S t) y < unlearned n p y eta t y.
Proof. exact Repeated.label_keeps_falling. Qed.

(** … and log(π_i/π_y) grows by η(1 + π_i − π_y) ≥ η(1 − π_y(0)). *)
Theorem odds_against_label_grow :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall t i, (i < n)%nat -> i <> y ->
  let q := unlearned n p y eta t in
  let q' := unlearned n p y eta (S t) in
  ln (q' i / q' y) - ln (q i / q y) = eta t * (1 + q i - q y)
    /\ eta t * (1 - p y) <= eta t * (1 + q i - q y).
Proof. exact Repeated.odds_against_label_grow. Qed.

(** π_{y*} rises at every step. *)
Theorem runner_up_keeps_rising :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall t,
  unlearned n p y eta t top < unlearned n p y eta (S t) top.
Proof. exact Repeated.runner_up_keeps_rising. Qed.

(** Once y* has caught up with y it stays ahead. *)
Theorem argmax_changes_once :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall t, unlearned n p y eta t y <= unlearned n p y eta t top ->
  unlearned n p y eta (S t) y < unlearned n p y eta (S t) top.
Proof. exact Repeated.argmax_changes_once. Qed.

(** Every gap among the others widens. *)
Theorem gaps_widen :
  forall n p y eta, distribution n p -> (forall t, 0 < eta t) -> forall t i j, (i < n)%nat ->
  (j < n)%nat -> i <> y -> j <> y -> p i < p j ->
  ln (unlearned n p y eta t j / unlearned n p y eta t i)
    < ln (unlearned n p y eta (S t) j / unlearned n p y eta (S t) i).
Proof. exact Repeated.gaps_widen. Qed.

(** π_i/π_{y*} shrinks like e^{−T(π_{y*} − π_i)}, T = η_0 + … + η_{t−1}. *)
Theorem other_decay :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall i t, (i < n)%nat -> i <> y ->
  unlearned n p y eta t i / unlearned n p y eta t top
    <= p i / p top * exp (- (sum t eta * (p top - p i))).
Proof. exact Repeated.other_decay. Qed.

(** π_y/π_{y*} shrinks like e^{−T(1 + π_{y*} − π_y)}. *)
Theorem label_decay :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall t,
  unlearned n p y eta t y / unlearned n p y eta t top
    <= p y / p top * exp (- (sum t eta * (1 + p top - p y))).
Proof. exact Repeated.label_decay. Qed.

(** T9: π_y → 0 if the steps add up to infinity. *)
Theorem label_vanishes :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> diverges eta ->
  Un_cv (fun t => unlearned n p y eta t y) 0.
Proof. exact Repeated.label_vanishes. Qed.

(** The collapse: with a gap δ below y*, 1 − π_{y*}(t) ≤ ((1 − π_{y*})/π_{y*})·e^{−δT}. *)
Theorem collapse_to_one :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall delta, 0 < delta <= p top ->
  (forall i, (i < n)%nat -> i <> y -> i <> top -> p i <= p top - delta) -> forall t,
  0 <= 1 - unlearned n p y eta t top <= (1 - p top) / p top * exp (- (sum t eta * delta)).
Proof. exact Repeated.collapse_to_one. Qed.

(** T5, with δ = 0 allowed: 1 − π_{y*}(t) ≤ (V + π_y/π_{y*})·e^{−δT}. *)
Theorem collapse_bound :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall delta, 0 <= delta <= p top ->
  (forall i, (i < n)%nat -> i <> y -> i <> top -> p i <= p top - delta) -> forall t,
  1 - unlearned n p y eta t top <= (INR n + p y / p top) * exp (- (sum t eta * delta)).
Proof. exact Repeated.collapse_bound. Qed.

(** Where the steps add up to infinity, π_{y*} → 1. *)
Theorem runner_up_takes_all :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall delta, 0 < delta <= p top ->
  (forall i, (i < n)%nat -> i <> y -> i <> top -> p i <= p top - delta) -> diverges eta ->
  Un_cv (fun t => unlearned n p y eta t top) 1.
Proof. exact Repeated.runner_up_takes_all. Qed.

(** With ties (u marks the labels tied at the top) they share everything equally. *)
Theorem collapse_with_ties :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall u delta,
    (forall i, (i < n)%nat -> i <> y /\ p i = p top /\ u i = 1 \/ i <> y /\ p i <= p top - delta
    /\ u i = 0 \/ i = y /\ u i = 0) ->
  0 < delta <= p top -> diverges eta ->
  Un_cv (fun t => unlearned n p y eta t top) (1 / sum n u).
Proof. exact Repeated.collapse_limit. Qed.

(** At the end log π_{y*} stays as it is … *)
Theorem runner_up_slope :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall delta, 0 < delta <= p top ->
  (forall i, (i < n)%nat -> i <> y -> i <> top -> p i <= p top - delta) -> diverges eta ->
  Un_cv (fun t => ln (unlearned n p y eta (S t) top) - ln (unlearned n p y eta t top)) 0.
Proof. exact Repeated.runner_up_slope. Qed.

(** … log π_i falls by s a step … *)
Theorem others_slope :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall s delta, (forall t, eta t = s) -> 0 < delta <= p top ->
  (forall i, (i < n)%nat -> i <> y -> i <> top -> p i <= p top - delta) -> forall i,
  (i < n)%nat -> i <> y -> i <> top ->
  Un_cv (fun t => ln (unlearned n p y eta (S t) i) - ln (unlearned n p y eta t i)) (- s).
Proof. exact Repeated.others_slope. Qed.

(** … and log π_y by 2s. *)
Theorem label_slope :
  forall n p y top eta, distribution n p -> (y < n)%nat -> runner_up n p y top ->
  (forall t, 0 < eta t) -> forall s delta, (forall t, eta t = s) -> 0 < delta <= p top ->
  (forall i, (i < n)%nat -> i <> y -> i <> top -> p i <= p top - delta) ->
  Un_cv (fun t => ln (unlearned n p y eta (S t) y) - ln (unlearned n p y eta t y)) (- (2 * s)).
Proof. exact Repeated.label_slope. Qed.

(** Repeated positive steps: π_y rises at every step … *)
Theorem target_keeps_rising :
  forall n p y eta, distribution n p -> (y < n)%nat -> (2 <= n)%nat -> (forall t, 0 < eta t) ->
  forall t,
  learned n p y eta t y < learned n p y eta (S t) y.
Proof. exact Repeated.target_keeps_rising. Qed.

(** … the strongest competitor of the moment falls … *)
Theorem competitor_keeps_falling :
  forall n p y eta, distribution n p -> (y < n)%nat -> (forall t, 0 < eta t) -> forall t c,
  runner_up n (learned n p y eta t) y c ->
  learned n p y eta (S t) c < learned n p y eta t c.
Proof. exact Repeated.competitor_keeps_falling. Qed.

(** … and, L8, π_y → 1. *)
Theorem learning_limit :
  forall n p y eta, distribution n p -> (y < n)%nat -> (2 <= n)%nat -> (forall t, 0 < eta t) ->
  diverges eta ->
  Un_cv (fun t => learned n p y eta t y) 1.
Proof. exact Repeated.learning_limit. Qed.

(** ** Both signs (paper: §3.2, eq. 7) *)

(** P0: one context, weights w₊ on a and w₋ on b: α is the ratio of the softmaxes. *)
Theorem pair_of_logits :
  forall n z a b wp wm s i, (0 < n)%nat ->
  softmax n (fun j => z j + both_signs (softmax n z) a b wp wm s j) i
    = softmax n z i * growth n (softmax n z) (both_signs (softmax n z) a b wp wm s) i.
Proof. exact BothSigns.pair_of_logits. Qed.

(** P3: where w₊ ≥ w₋, y⁺ rises … *)
Theorem chosen_rises :
  forall n p a b wp wm s, distribution n p -> (a < n)%nat -> (b < n)%nat -> a <> b ->
  0 < s -> 0 <= wm <= wp -> 0 < wp ->
  1 < growth n p (both_signs p a b wp wm s) a.
Proof. exact BothSigns.chosen_rises. Qed.

(** … most; … *)
Theorem chosen_rises_most :
  forall n p a b wp wm s, distribution n p -> (a < n)%nat -> a <> b -> 0 < s ->
  0 <= wm <= wp -> 0 < wp -> forall i, (i < n)%nat -> i <> a ->
  growth n p (both_signs p a b wp wm s) i < growth n p (both_signs p a b wp wm s) a.
Proof. exact BothSigns.chosen_rises_most. Qed.

(** … where w₋ ≥ w₊, y⁻ falls … *)
Theorem rejected_falls :
  forall n p a b wp wm s, distribution n p -> (a < n)%nat -> (b < n)%nat -> a <> b ->
  0 < s -> 0 <= wp <= wm -> 0 < wm ->
  growth n p (both_signs p a b wp wm s) b < 1.
Proof. exact BothSigns.rejected_falls. Qed.

(** … most. *)
Theorem rejected_falls_most :
  forall n p a b wp wm s, distribution n p -> (b < n)%nat -> a <> b -> 0 < s ->
  0 <= wp <= wm -> 0 < wm -> forall i, (i < n)%nat -> i <> b ->
  growth n p (both_signs p a b wp wm s) b < growth n p (both_signs p a b wp wm s) i.
Proof. exact BothSigns.rejected_falls_most. Qed.

(** P4: Δ log(π_i/π_j) = −s(w₊ − w₋)(π_i − π_j) among third labels. *)
Theorem pair_odds :
  forall n p a b wp wm s i j, distribution n p -> (i < n)%nat -> (j < n)%nat -> i <> a ->
  i <> b -> j <> a -> j <> b ->
  ln (after n p (both_signs p a b wp wm s) i / after n p (both_signs p a b wp wm s) j) - ln (p i / p j)
    = - (s * (wp - wm) * (p i - p j)).
Proof. exact BothSigns.pair_odds. Qed.

(** Equal weights: Δz = s·w·(e_a − e_b), the π-terms cancel. *)
Theorem equal_weights_cancel :
  forall p a b w s i,
  both_signs p a b w w s i = s * w * (ind i a - ind i b).
Proof. exact BothSigns.equal_weights_cancel. Qed.

(** All others are multiplied by one common factor … *)
Theorem third_labels_share_a_factor :
  forall n p a b w s, distribution n p -> (a < n)%nat -> (b < n)%nat -> a <> b -> forall i,
  i <> a -> i <> b ->
  growth n p (both_signs p a b w w s) i
    = 1 / (1 + p a * (exp (s * w) - 1) - p b * (1 - exp (- (s * w)))).
Proof. exact BothSigns.third_labels_share_a_factor. Qed.

(** … below 1 exactly if π_{y⁺}·e^{sw} > π_{y⁻}. *)
Theorem third_labels_fall_iff :
  forall n p a b w s, distribution n p -> (a < n)%nat -> (b < n)%nat -> a <> b -> 0 < w ->
  0 < s -> forall i, i <> a -> i <> b ->
  growth n p (both_signs p a b w w s) i < 1 <-> p b < p a * exp (s * w).
Proof. exact BothSigns.third_labels_fall_iff. Qed.

(** Two contexts, overlap ρ = 0: y⁺'s sees the positive step alone … *)
Theorem no_overlap_chosen :
  forall pp pm a b s i,
  overlapping_chosen pp pm a b 0 s i = positive pp a s i.
Proof. exact BothSigns.no_overlap_chosen. Qed.

(** … and y⁻'s the negative one. *)
Theorem no_overlap :
  forall pp pm a b s i,
  overlapping pp pm a b 0 s i = negative pm b s i.
Proof. exact BothSigns.no_overlap. Qed.

(** ρ = 1 and equal distributions: both see the pair of one context … *)
Theorem full_overlap_chosen :
  forall p a b s i,
  overlapping_chosen p p a b 1 s i = both_signs p a b 1 1 s i.
Proof. exact BothSigns.full_overlap_chosen. Qed.

(** … in which the π-terms cancel. *)
Theorem full_overlap :
  forall p a b s i,
  overlapping p p a b 1 s i = both_signs p a b 1 1 s i.
Proof. exact BothSigns.full_overlap. Qed.

(** In between the residual is s(π⁻ − ρπ⁺). *)
Theorem overlap_odds :
  forall n pp pm a b rho s i j, distribution n pm -> (i < n)%nat -> (j < n)%nat -> i <> a ->
  i <> b -> j <> a -> j <> b ->
  ln (after n pm (overlapping pp pm a b rho s) i / after n pm (overlapping pp pm a b rho s) j)
    - ln (pm i / pm j)
    = s * (pm i - rho * pp i - (pm j - rho * pp j)).
Proof. exact BothSigns.overlap_odds. Qed.

(** P9: equal distributions: the squeeze fades linearly in ρ. *)
Theorem overlap_fades :
  forall n p a b rho s i j, distribution n p -> (i < n)%nat -> (j < n)%nat -> i <> a ->
  i <> b -> j <> a -> j <> b ->
  ln (after n p (overlapping p p a b rho s) i / after n p (overlapping p p a b rho s) j)
    - ln (p i / p j)
    = (1 - rho) * (s * (p i - p j)).
Proof. exact BothSigns.overlap_fades. Qed.

(** P8: z = (4, 1, 0, −1⁺, −3⁻), s = 1: α of the three likeliest, to three places. *)
Theorem squeeze_dissolves :
  let p := softmax 5 five in
  let alpha rho i := growth 5 p (overlapping p p 3 4 rho 1) i in
  Rabs (alpha 0 0%nat - 1044/1000) <= 5/10000 /\ Rabs (alpha 0 1%nat - 431/1000) <= 5/10000
    /\ Rabs (alpha 0 2%nat - 419/1000) <= 5/10000
    /\ forall i, (i < 3)%nat -> Rabs (alpha 1 i - 990/1000) <= 5/10000.
Proof. exact Quoted.squeeze_dissolves. Qed.

(** P10: y⁻ falls most if ρ ≤ 1 − π⁻_{y⁻} … *)
Theorem rejected_falls_at_small_overlap :
  forall n pp pm a b rho s, distribution n pp -> distribution n pm -> (a < n)%nat ->
  (b < n)%nat -> a <> b -> 0 <= rho <= 1 -> 0 < s -> rho <= 1 - pm b ->
  growth n pm (overlapping pp pm a b rho s) b < 1
    /\ (forall i, (i < n)%nat -> i <> b -> growth n pm (overlapping pp pm a b rho s) b < growth n
      pm (overlapping pp pm a b rho s) i).
Proof. exact BothSigns.rejected_falls_at_small_overlap. Qed.

(** … and at any ρ in [0, 1] between equal distributions. *)
Theorem rejected_falls_in_equal_contexts :
  forall n pp pm a b rho s, distribution n pm -> (a < n)%nat -> (b < n)%nat -> a <> b ->
  0 <= rho <= 1 -> 0 < s -> (forall i, (i < n)%nat -> pp i = pm i) ->
  growth n pm (overlapping pp pm a b rho s) b < 1
    /\ (forall i, (i < n)%nat -> i <> b -> growth n pm (overlapping pp pm a b rho s) b < growth n
      pm (overlapping pp pm a b rho s) i).
Proof. exact BothSigns.rejected_falls_in_equal_contexts. Qed.

(** P11: from ρ = 1/2 on, y⁺ rises most there too. *)
Theorem chosen_rises_at_half_overlap :
  forall n pp pm a b rho s, distribution n pm -> (a < n)%nat -> (b < n)%nat -> a <> b ->
  0 <= rho <= 1 -> 0 < s -> (forall i, (i < n)%nat -> pp i = pm i) -> 1 / 2 <= rho ->
  1 < growth n pm (overlapping pp pm a b rho s) a
    /\ (forall i, (i < n)%nat -> growth n pm (overlapping pp pm a b rho s) i <= growth n pm
      (overlapping pp pm a b rho s) a).
Proof. exact BothSigns.chosen_rises_at_half_overlap. Qed.

(** S20: "y⁻ falls in its own context": not at ρ = 1 between unequal distributions. *)
Theorem rejected_label_can_rise :
  1 < growth 3 rejected_context (overlapping chosen_context rejected_context 0 1 1 1) 1.
Proof. exact CounterExamples.rejected_label_can_rise. Qed.

(** ** Variations of the step *)

(** Label smoothing: the uniform part drops out, Δz ≃ s(π − (1 − ε)e_y). *)
Theorem smoothing_shift :
  forall n p y eps s i, distribution n p -> (i < n)%nat ->
  growth n p (smoothed n p y eps s) i = growth n p (fun j => s * (p j - (1 - eps) * ind j y)) i.
Proof. exact Modifiers.smoothing_shift. Qed.

(** … y* rises if π_{y*} > π_y − (1 − ε). *)
Theorem smoothed_runner_up_rises :
  forall n p y t eps s, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  p y - (1 - eps) < p t ->
  1 < growth n p (smoothed n p y eps s) t.
Proof. exact Modifiers.smoothed_runner_up_rises. Qed.

(** … y falls if π_y < 1 − ε + min π_j. *)
Theorem smoothed_label_falls :
  forall n p y t eps s, distribution n p -> (t < n)%nat -> t <> y -> 0 < s ->
  (forall j, (j < n)%nat -> j <> y -> p y < 1 - eps + p j) ->
  growth n p (smoothed n p y eps s) y < 1.
Proof. exact Modifiers.smoothed_label_falls. Qed.

(** … with equality: y* does not fall … *)
Theorem smoothed_runner_up_does_not_fall :
  forall n p y t eps s, distribution n p -> runner_up n p y t -> 0 < s ->
  p y - (1 - eps) <= p t ->
  1 <= growth n p (smoothed n p y eps s) t.
Proof. exact Modifiers.smoothed_runner_up_does_not_fall. Qed.

(** … and y does not rise; … *)
Theorem smoothed_label_does_not_rise :
  forall n p y eps s, distribution n p -> 0 < s ->
  (forall j, (j < n)%nat -> j <> y -> p y <= 1 - eps + p j) ->
  growth n p (smoothed n p y eps s) y <= 1.
Proof. exact Modifiers.smoothed_label_does_not_rise. Qed.

(** … but y rises if V = 2 and π_y > 1 − ε/2. *)
Theorem smoothed_label_can_rise :
  forall e eps s, 0 < e < 1 -> 0 < s -> 1 - eps / 2 < e ->
  1 < growth 2 (pair e) (smoothed 2 (pair e) 1 eps s) 1.
Proof. exact CounterExamples.smoothed_label_can_rise. Qed.

(** Heavy-ball momentum: π_y falls at every step … *)
Theorem momentum_label_falls :
  forall n z y top mu eta, (y < n)%nat -> runner_up n (softmax n z) y top -> 0 <= mu ->
  (forall t, 0 < eta t) -> forall t,
  with_momentum n z y mu eta (S t) y < with_momentum n z y mu eta t y.
Proof. exact Modifiers.momentum_label_falls. Qed.

(** … π_{y*} rises at every step … *)
Theorem momentum_runner_up_rises :
  forall n z y top mu eta, (y < n)%nat -> runner_up n (softmax n z) y top -> 0 <= mu ->
  (forall t, 0 < eta t) -> forall t,
  with_momentum n z y mu eta t top < with_momentum n z y mu eta (S t) top.
Proof. exact Modifiers.momentum_runner_up_rises. Qed.

(** … and the order of the others never changes. *)
Theorem momentum_order_frozen :
  forall n z y top mu eta, (y < n)%nat -> runner_up n (softmax n z) y top -> 0 <= mu ->
  (forall t, 0 < eta t) -> forall t i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
  with_momentum n z y mu eta t i < with_momentum n z y mu eta t j
    <-> softmax n z i < softmax n z j.
Proof. exact Modifiers.momentum_order_frozen. Qed.

(** N1 and N2: at every step y's factor is the smallest … *)
Theorem momentum_label_falls_most :
  forall n z y top mu eta, (y < n)%nat -> runner_up n (softmax n z) y top -> 0 <= mu ->
  (forall t, 0 < eta t) -> forall t i, (i < n)%nat -> i <> y ->
  with_momentum n z y mu eta (S t) y / with_momentum n z y mu eta t y
    < with_momentum n z y mu eta (S t) i / with_momentum n z y mu eta t i.
Proof. exact Modifiers.momentum_label_falls_most. Qed.

(** … and y*'s the largest. *)
Theorem momentum_runner_up_rises_most :
  forall n z y top mu eta, (y < n)%nat -> runner_up n (softmax n z) y top -> 0 <= mu ->
  (forall t, 0 < eta t) -> forall t i, (i < n)%nat ->
  with_momentum n z y mu eta (S t) i / with_momentum n z y mu eta t i
    <= with_momentum n z y mu eta (S t) top / with_momentum n z y mu eta t top.
Proof. exact Modifiers.momentum_runner_up_rises_most. Qed.

(** T1: log(π_i/π_y) grows by at least η(1 + π_i − π_y) ≥ η(1 − π_y(0)) … *)
Theorem momentum_odds_against_label :
  forall n z y top mu eta, (y < n)%nat -> runner_up n (softmax n z) y top -> 0 <= mu ->
  (forall t, 0 < eta t) -> forall t i, (i < n)%nat -> i <> y ->
  let q := with_momentum n z y mu eta t in
  let q' := with_momentum n z y mu eta (S t) in
  eta t * (1 - softmax n z y) <= eta t * (1 + q i - q y)
    /\ eta t * (1 + q i - q y) <= ln (q' i / q' y) - ln (q i / q y).
Proof. exact Modifiers.momentum_odds_against_label. Qed.

(** … and T3: every gap among the others widens. *)
Theorem momentum_gaps_widen :
  forall n z y top mu eta, (y < n)%nat -> runner_up n (softmax n z) y top -> 0 <= mu ->
  (forall t, 0 < eta t) -> forall t i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
  softmax n z i < softmax n z j ->
  ln (with_momentum n z y mu eta t j / with_momentum n z y mu eta t i)
    < ln (with_momentum n z y mu eta (S t) j / with_momentum n z y mu eta (S t) i).
Proof. exact Modifiers.momentum_gaps_widen. Qed.

(** Weight decay: the order of the others survives. *)
Theorem decay_keeps_order :
  forall n z y kappa s i j, (0 < n)%nat -> i <> y -> j <> y -> 0 <= kappa <= 1 -> 0 < s ->
  z i < z j ->
  decayed n z y kappa s i < decayed n z y kappa s j.
Proof. exact Modifiers.decay_keeps_order. Qed.

(** … nothing collapses: the logits stay bounded, and so does every probability … *)
Theorem decay_never_collapses :
  forall n z y kappa s b, 0 < kappa <= 1 -> 0 < s -> s / kappa <= b ->
  (forall j, (j < n)%nat -> Rabs (z j) <= b) -> forall t i, (i < n)%nat ->
  exp (- (2 * b)) / INR n <= softmax n (decayed_logits n z y kappa s t) i.
Proof. exact Modifiers.decay_never_collapses. Qed.

(** … fixed points have z_i − z_j = (s/κ)(v_i − v_j), v = π − e_y. *)
Theorem decay_fixed_point :
  forall n z y kappa s i j, kappa <> 0 -> decayed n z y kappa s i = z i ->
  decayed n z y kappa s j = z j ->
  z i - z j = s / kappa * (softmax n z i - ind i y - (softmax n z j - ind j y)).
Proof. exact Modifiers.decay_fixed_point. Qed.

(** … but y* can fall: z = (3, 0, −3†), s = 1/100, κ = 1/10. *)
Theorem decayed_runner_up_can_fall :
  runner_up 3 (softmax 3 spread) 2 0
    /\ softmax 3 (decayed 3 spread 2 (1 / 10) (1 / 100)) 0 < softmax 3 spread 0.
Proof. exact CounterExamples.decayed_runner_up_can_fall. Qed.

(** The first RMSprop step: y falls … *)
Theorem rmsprop_label_falls :
  forall n p y t lr a, distribution n p -> (y < n)%nat -> (t < n)%nat /\ t <> y -> 0 < lr ->
  a < 1 ->
  growth n p (rmsprop_first p y lr a) y < 1.
Proof. exact Modifiers.rmsprop_label_falls. Qed.

(** … and all others rise by one factor. *)
Theorem rmsprop_others_rise_alike :
  forall n p y t lr a, distribution n p -> (y < n)%nat -> (t < n)%nat /\ t <> y -> 0 < lr ->
  a < 1 -> forall i, (i < n)%nat -> i <> y ->
  1 < growth n p (rmsprop_first p y lr a) i
    /\ growth n p (rmsprop_first p y lr a) i = growth n p (rmsprop_first p y lr a) t.
Proof. exact Modifiers.rmsprop_others_rise_alike. Qed.

(** M6-size: on the read-out itself, whose gradients are g = φ_k·v_i, it is that step with lr·‖φ‖₁ … *)
Theorem rmsprop_on_readout :
  forall m phi p y lr a i, a < 1 -> p i - ind i y <> 0 ->
  sum m (fun k => phi k * (lr * (phi k * (p i - ind i y))
                           / sqrt ((1 - a) * ((phi k * (p i - ind i y)) * (phi k * (p i - ind i y))))))
    = rmsprop_first p y (lr * sum m (fun k => Rabs (phi k))) a i.
Proof. exact Modifiers.rmsprop_on_readout. Qed.

(** … every logit moves by lr/√(1 − a) … *)
Theorem rmsprop_size :
  forall n p y t lr a, distribution n p -> (y < n)%nat -> (t < n)%nat /\ t <> y -> 0 < lr ->
  a < 1 -> forall i, (i < n)%nat ->
  Rabs (rmsprop_first p y lr a i) = lr / sqrt (1 - a).
Proof. exact Modifiers.rmsprop_size. Qed.

(** … and 1/√(1 − 0.99) = 10. *)
Theorem rmsprop_usual_decay :
  forall c,
  c / sqrt (1 - 99 / 100) = 10 * c.
Proof. exact Modifiers.rmsprop_usual_decay. Qed.

(** ** Said, but not so *)

(** S1: "the lost mass goes largely to y*": a uniform π shares it equally. *)
Theorem uniform_mass_is_shared :
  forall n y s i, (y < n)%nat -> (i < n)%nat -> i <> y ->
  after_negative n (uniform n) y s i - uniform n i
    = (uniform n y - after_negative n (uniform n) y s y) / (INR n - 1).
Proof. exact CounterExamples.uniform_mass_is_shared. Qed.

(** S2: "all other labels fall": (1/2, 1/4, 1/4†), s = 1/10. *)
Theorem not_all_others_fall :
  1 < negative_growth 3 half_quarters 2 (1 / 10) 1.
Proof. exact CounterExamples.not_all_others_fall. Qed.

(** S3: "the smaller π_y, the more y* gains" (which label): (0.6, 0.3, 0.0999, 0.0001), every
    step size. *)
Theorem less_likely_label_gives_runner_up_less :
  forall s, 0 < s ->
  negative_growth 4 four 3 s 0 < negative_growth 4 four 2 s 0 < negative_growth 4 four 1 s 0.
Proof. exact CounterExamples.less_likely_label_gives_runner_up_less. Qed.

(** S4: the same, mass moved into y and the rest rescaled. *)
Theorem rescaled_label_gives_runner_up_less :
  negative_growth 5 (rescaled (1 / 1000000)) 4 1 0 < negative_growth 5 (rescaled (3 / 10)) 4 1 0.
Proof. exact CounterExamples.rescaled_label_gives_runner_up_less. Qed.

(** α_{y*} is not monotone in π_y either way: V = 2. *)
Theorem runner_up_growth_not_monotone :
  negative_growth 2 (pair (1 / 100)) 1 1 0 < negative_growth 2 (pair (1 / 2)) 1 1 0
    /\ negative_growth 2 (pair (99 / 100)) 1 1 0 < negative_growth 2 (pair (1 / 2)) 1 1 0.
Proof. exact CounterExamples.runner_up_growth_not_monotone. Qed.

(** Nor is the growth of a third label. *)
Theorem third_label_growth_not_monotone :
  negative_growth 3 (triple (1 / 100)) 2 1 1 < negative_growth 3 (triple (1 / 2)) 2 1 1
    /\ negative_growth 3 (triple (99 / 100)) 2 1 1 < negative_growth 3 (triple (1 / 2)) 2 1 1.
Proof. exact CounterExamples.third_label_growth_not_monotone. Qed.

(** S17: not even up to π_y = 1/2, for a label near y*: proportions (0.4, 0.35, five times 0.05). *)
Theorem third_label_turns_below_one_half :
  negative_growth 8 (reweighted crowd 7 (1 / 2)) 7 (1 / 1000) 1
    < negative_growth 8 (reweighted crowd 7 (48 / 100)) 7 (1 / 1000) 1.
Proof. exact CounterExamples.third_label_turns_below_one_half. Qed.

(** S18: "the peakier the others, the larger α_{y*}": (0.5, 0.3, 0.2) to the powers 2 and 8, π_y = 1/100. *)
Theorem peakier_gives_runner_up_less :
  peakier 4 3 squared eighth_power
    /\ negative_growth 4 eighth_power 3 1 0 < negative_growth 4 squared 3 1 0.
Proof. exact CounterExamples.peakier_gives_runner_up_less. Qed.

(** S5: "a larger step amplifies every change": (0.45, 0.35, 0.2†). *)
Theorem bystander_rises_then_falls :
  1 < negative_growth 3 bystander 2 (1 / 5) 1 /\ negative_growth 3 bystander 2 20 1 < 1.
Proof. exact CounterExamples.bystander_rises_then_falls. Qed.

(** S6: "a peakier π squeezes more": y* gains less mass at 0.99 than at 1/2. *)
Theorem peakier_gains_less_mass :
  after_negative 3 peaked 2 1 0 - peaked 0
    < after_negative 3 half_quarters 2 1 0 - half_quarters 0.
Proof. exact CounterExamples.peakier_gains_less_mass. Qed.

(** S7: "negative gradients sharpen": (0.7†, 0.15, 0.15). *)
Theorem negative_step_can_flatten :
  entropy 3 confident < entropy 3 (after_negative 3 confident 0 1).
Proof. exact CounterExamples.negative_step_can_flatten. Qed.

(** S8: the squeeze at a tiny π_y is real: (0.6, 0.3, 0.0999, 0.0001†), every step size. *)
Theorem tiny_label_sharpens :
  forall s, 0 < s ->
  entropy 4 (after_negative 4 four 3 s) < entropy 4 four.
Proof. exact CounterExamples.tiny_label_sharpens. Qed.

(** "a positive step lowers all other labels": (0.9, 0.05 target, 0.05). *)
Theorem not_all_others_fall_under_sft :
  1 < positive_growth 3 rare_target 1 (1 / 10) 2.
Proof. exact CounterExamples.not_all_others_fall_under_sft. Qed.

(** A long positive step can reverse the order of two others. *)
Theorem positive_step_can_reverse_order :
  close_pair 1 < close_pair 0
    /\ after_positive 3 close_pair 2 5 0 < after_positive 3 close_pair 2 5 1.
Proof. exact CounterExamples.positive_step_can_reverse_order. Qed.

(** S13: "the rich get richer whatever the optimiser": not in RMSprop's first step, (0.6, 0.3, 0.1†). *)
Theorem rmsprop_does_not_enrich :
  forall s lr a, 0 < s -> 0 < lr -> a < 1 ->
  graded 1 < graded 0
    /\ negative_growth 3 graded 2 s 1 < negative_growth 3 graded 2 s 0
    /\ growth 3 graded (rmsprop_first graded 2 lr a) 1 = growth 3 graded (rmsprop_first graded 2 lr a) 0.
Proof. exact CounterExamples.rmsprop_does_not_enrich. Qed.

(** S14: "y⁻ falls and y⁺ rises in any pair": (0.9, 0.05⁺, 0.05⁻) with weights 1 and 1/100, and
    (0.6, 0.01⁺, 0.39⁻) with 1/100 and 1. *)
Theorem unequal_weights_can_fail :
  1 < growth 3 rare_target (both_signs rare_target 1 2 1 (1 / 100) (1 / 10)) 2
    /\ growth 3 rare_chosen (both_signs rare_chosen 1 2 (1 / 100) 1 1) 1 < 1.
Proof. exact CounterExamples.unequal_weights_can_fail. Qed.
