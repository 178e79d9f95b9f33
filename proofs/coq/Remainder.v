(** What the first order A·d leaves out, for a model that is linear in its parameters (paper: eq. 3).

    The remainder is −KL(π ‖ π′), the same for every label, so never positive; Hoeffding's bound
    (max d − min d)²/8; for one negative step −(27/128)s² ≤ r ≤ 0 whatever V and π are, and no
    smaller constant will do. The route: the chord of the exponential reduces every d to a variable
    with two values, whose cumulant has t(1 − t) as its second derivative. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus Softmax Adaptation.
Open Scope R_scope.

(** KL(p ‖ q). *)
Definition KL (n : nat) (p q : nat -> R) : R := mean n p (fun i => ln (p i / q i)).

(** r_i = Δ log π_i − (A·d)_i. *)
Definition remainder (n : nat) (p d : nat -> R) (i : nat) : R :=
  ln (after n p d i / p i) - adapt n p d i.

(** Gibbs: KL ≥ 0, and > 0 between different distributions. *)
Lemma KL_nonneg : forall n p q, distribution n p -> distribution n q -> 0 <= KL n p q.
Proof.
  intros n p q Hp Hq. pose proof (dist_pos n p Hp) as P. pose proof (dist_pos n q Hq) as Q.
  unfold KL. apply Rle_trans with (mean n p (fun i => 1 - q i / p i)).
  - rewrite (mean_minus n p (fun _ => 1)), (mean_const n p Hp).
    unfold mean. rewrite (sum_ext n _ q), (dist_sum n q Hq); [lra|].
    intros i Hi. field. apply Rgt_not_eq. now apply P.
  - apply (mean_le n p Hp). intros i Hi. specialize (P i Hi). specialize (Q i Hi).
    assert (R : 0 < p i / q i) by (now apply Rdiv_lt_0_compat).
    pose proof (ln_gt_inv _ R) as G. replace (q i / p i) with (1 / (p i / q i)) by (field; lra). assumption.
Qed.

Lemma KL_pos : forall n p q k, distribution n p -> distribution n q ->
  (k < n)%nat -> p k <> q k -> 0 < KL n p q.
Proof.
  intros n p q k Hp Hq Hk N. pose proof (dist_pos n p Hp) as P. pose proof (dist_pos n q Hq) as Q.
  unfold KL. apply Rle_lt_trans with (mean n p (fun i => 1 - q i / p i)).
  - rewrite (mean_minus n p (fun _ => 1)), (mean_const n p Hp).
    unfold mean. rewrite (sum_ext n _ q), (dist_sum n q Hq); [lra|].
    intros i Hi. field. apply Rgt_not_eq. now apply P.
  - assert (L : forall i, (i < n)%nat -> ln (q i / p i) = - ln (p i / q i)).
    { intros i Hi. rewrite !ln_div by auto. ring. }
    apply (mean_lt n p Hp _ _ k Hk).
    + intros i Hi. assert (R : 0 < q i / p i) by (apply Rdiv_lt_0_compat; auto).
      pose proof (ln_le_minus_1 _ R) as G. rewrite L in G by assumption. lra.
    + assert (R : 0 < q k / p k) by (apply Rdiv_lt_0_compat; auto).
      pose proof (ln_lt_minus_1 _ R) as G. rewrite L in G by assumption.
      enough (q k / p k <> 1) by (specialize (G H); lra).
      intro E. apply N. specialize (P k Hk).
      replace (q k) with (q k / p k * p k) by (field; lra). rewrite E. ring.
Qed.

Section Remainder.
  Variables (n : nat) (p : nat -> R).
  Hypothesis Hp : distribution n p.

  (** KL(π ‖ π′) = log Z − E_π d. *)
  Lemma KL_after : forall d, KL n p (after n p d) = ln (partition n p d) - mean n p d.
  Proof.
    intro d. unfold KL.
    rewrite (mean_ext n p _ (fun i => ln (partition n p d) - d i)).
    - now rewrite (mean_minus n p (fun _ => ln (partition n p d))), (mean_const n p Hp).
    - intros i Hi. rewrite ln_div, (ln_after n p Hp);
        [ring | assumption | now apply (dist_pos n p Hp) |].
      now apply (dist_pos _ _ (after_distribution n p Hp d)).
  Qed.

  (** The remainder is the same for every label, and is −KL(π ‖ π′). *)
  Lemma remainder_is_KL : forall d i, (i < n)%nat -> remainder n p d i = - KL n p (after n p d).
  Proof.
    intros d i Hi. unfold remainder.
    rewrite KL_after, adapt_value, (growth_of_after n p Hp), (ln_growth n p Hp) by assumption. ring.
  Qed.

  Lemma remainder_nonpos : forall d i, (i < n)%nat -> remainder n p d i <= 0.
  Proof.
    intros d i Hi. rewrite remainder_is_KL by assumption.
    pose proof (KL_nonneg n p (after n p d) Hp (after_distribution n p Hp d)). lra.
  Qed.
End Remainder.

(** ** A variable with two values: 0, and u with probability h *)

(** The tilted probability of u. *)
Definition tilted (h u : R) : R := h * exp u / (1 - h + h * exp u).

(** Its centred cumulant log(1 − h + h·e^u) − h·u. *)
Definition two_point (h u : R) : R := ln (1 - h + h * exp u) - h * u.

Lemma two_point_base : forall h u, 0 <= h <= 1 -> 0 < 1 - h + h * exp u.
Proof.
  intros h u H. pose proof (exp_pos u).
  destruct (Req_dec h 1) as [E|N]; [subst; lra|].
  assert (0 <= h * exp u) by (apply Rmult_le_pos; lra). lra.
Qed.

Lemma two_point_0 : forall h, two_point h 0 = 0.
Proof.
  intro h. unfold two_point. rewrite exp_0. replace (1 - h + h * 1) with 1 by ring. rewrite ln_1. ring.
Qed.

Lemma tilted_0 : forall h, tilted h 0 = h.
Proof. intro h. unfold tilted. rewrite exp_0. field. lra. Qed.

Lemma tilted_range : forall h u, 0 <= h <= 1 -> 0 <= tilted h u <= 1.
Proof.
  intros h u H. pose proof (two_point_base h u H) as B. pose proof (exp_pos u).
  assert (0 <= h * exp u) by (apply Rmult_le_pos; lra).
  unfold tilted. split; [apply le_div; lra | apply div_le; lra].
Qed.

Lemma base_derivative : forall h u, derivable_pt_lim (fun u => 1 - h + h * exp u) u (h * exp u).
Proof.
  intros h u. apply (dl_val _ _ (0 + h * (exp u * 1))); [|ring].
  apply (dl_plus (fun _ => 1 - h) (fun u => h * exp u)); [apply dl_const|].
  apply (dl_scal h (fun u => exp u)). apply (dl_exp (fun u => u)). apply dl_id.
Qed.

Lemma two_point_derivative : forall h u, 0 <= h <= 1 ->
  derivable_pt_lim (two_point h) u (tilted h u - h).
Proof.
  intros h u H. apply (dl_val _ _ (h * exp u / (1 - h + h * exp u) - h * 1)); [|unfold tilted; ring].
  apply (dl_minus (fun u => ln (1 - h + h * exp u)) (fun u => h * u)).
  - apply (dl_ln (fun u => 1 - h + h * exp u)); [now apply two_point_base | apply base_derivative].
  - apply (dl_scal h (fun u => u)). apply dl_id.
Qed.

Lemma tilted_derivative : forall h u, 0 <= h <= 1 ->
  derivable_pt_lim (tilted h) u (tilted h u * (1 - tilted h u)).
Proof.
  intros h u H. pose proof (two_point_base h u H) as B.
  apply (dl_val _ _ ((h * exp u * (1 - h + h * exp u) - h * exp u * (h * exp u))
                     / ((1 - h + h * exp u) * (1 - h + h * exp u)))).
  - apply (dl_div (fun u => h * exp u) (fun u => 1 - h + h * exp u)); [lra| |apply base_derivative].
    apply (dl_val _ _ (h * (exp u * 1))); [|ring].
    apply (dl_scal h (fun u => exp u)). apply (dl_exp (fun u => u)). apply dl_id.
  - unfold tilted. field. lra.
Qed.

Lemma tilted_grows : forall h u v, 0 <= h <= 1 -> u <= v -> tilted h u <= tilted h v.
Proof.
  intros h u v H L. apply (grows _ (fun u => tilted h u * (1 - tilted h u))); [assumption| |].
  - intros. now apply tilted_derivative.
  - intros x _. pose proof (tilted_range h x H). apply Rmult_le_pos; lra.
Qed.

Lemma quadratic_derivative : forall c u, derivable_pt_lim (fun u => c * (u * u) / 2) u (c * u).
Proof.
  intros c u. apply (dl_ext (fun u => c / 2 * (u * u))); [intro; field|].
  apply (dl_val _ _ (c / 2 * (1 * u + u * 1))); [|field].
  apply (dl_scal (c / 2) (fun u => u * u)). apply (dl_mult (fun u => u) (fun u => u)); apply dl_id.
Qed.

(** A bound c on the second derivative t(1 − t) over [0, u] bounds the cumulant by c·u²/2. *)
Lemma two_point_le : forall h c u, 0 <= h <= 1 -> 0 <= u ->
  (forall x, 0 <= x <= u -> tilted h x * (1 - tilted h x) <= c) ->
  two_point h u <= c * (u * u) / 2.
Proof.
  intros h c u H Hu B.
  assert (F : forall x, 0 <= x <= u -> tilted h x - h <= c * x).
  { intros x Hx.
    pose proof (grows (fun v => c * v - tilted h v) (fun v => c * 1 - tilted h v * (1 - tilted h v)) 0 x) as G.
    cbv beta in G. rewrite tilted_0 in G. enough (c * 0 - h <= c * x - tilted h x) by lra.
    apply G; [lra| |].
    - intros v Hv. apply (dl_minus (fun v => c * v) (tilted h)); [|now apply tilted_derivative].
      apply (dl_scal c (fun v => v)). apply dl_id.
    - intros v Hv. enough (tilted h v * (1 - tilted h v) <= c) by lra. apply B. lra. }
  pose proof (grows (fun v => c * (v * v) / 2 - two_point h v) (fun v => c * v - (tilted h v - h)) 0 u) as G.
  cbv beta in G. rewrite two_point_0 in G.
  enough (c * (0 * 0) / 2 - 0 <= c * (u * u) / 2 - two_point h u) by lra.
  apply G; [assumption| |].
  - intros v Hv. apply (dl_minus (fun v => c * (v * v) / 2) (two_point h));
      [apply quadratic_derivative | now apply two_point_derivative].
  - intros v Hv. specialize (F v Hv). lra.
Qed.

(** Hoeffding. *)
Lemma two_point_hoeffding : forall h u, 0 <= h <= 1 -> 0 <= u -> two_point h u <= u * u / 8.
Proof.
  intros h u H Hu. replace (u * u / 8) with (1 / 4 * (u * u) / 2) by field.
  apply two_point_le; [assumption..|]. intros x _. pose proof (Rle_0_sqr (tilted h x - 1 / 2)) as S.
  unfold Rsqr in S. lra.
Qed.

(** With the upper value the likelier one the second derivative only shrinks. *)
Lemma two_point_upper : forall h u, 1 / 2 <= h <= 1 -> 0 <= u ->
  two_point h u <= h * (1 - h) * (u * u) / 2.
Proof.
  intros h u H Hu. apply two_point_le; [lra | assumption |]. intros x Hx.
  assert (h <= tilted h x).
  { rewrite <- (tilted_0 h) at 1. apply tilted_grows; lra. }
  pose proof (tilted_range h x). nra.
Qed.

(** The chord: among all d with the same range and average, two values spread most. *)
Lemma KL_le_two_point : forall n p d a b, distribution n p -> a < b ->
  (forall i, (i < n)%nat -> a <= d i <= b) ->
  0 <= (mean n p d - a) / (b - a) <= 1 /\
  KL n p (after n p d) <= two_point ((mean n p d - a) / (b - a)) (b - a).
Proof.
  intros n p d a b Hp H B. set (m := mean n p d). set (h := (m - a) / (b - a)).
  assert (Eh : h * (b - a) = m - a) by (unfold h; field; lra).
  assert (Ha : a <= m) by (apply (mean_ge_min n p Hp); intros i Hi; apply (B i Hi)).
  assert (Hb : m <= b) by (apply (mean_le_max n p Hp); intros i Hi; apply (B i Hi)).
  assert (Hh : 0 <= h <= 1) by (split; [apply le_div; lra | apply div_le; lra]).
  split; [assumption|]. rewrite (KL_after n p Hp). fold m.
  pose proof (two_point_base h (b - a) Hh) as P.
  assert (L : partition n p d <= exp a * (1 - h + h * exp (b - a))).
  { apply Rle_trans with (mean n p (fun i => exp a + (exp b - exp a) / (b - a) * (d i - a))).
    - apply (mean_le n p Hp). intros i Hi.
      pose proof (exp_chord a b (d i) H (B i Hi)) as C.
      replace (exp a + (exp b - exp a) / (b - a) * (d i - a))
        with ((1 - (d i - a) / (b - a)) * exp a + (d i - a) / (b - a) * exp b) by (field; lra).
      assumption.
    - rewrite (mean_plus n p (fun _ => exp a)), mean_scal, (mean_minus n p d), !(mean_const n p Hp).
      fold m. right. rewrite exp_minus. pose proof (exp_pos a).
      replace (m - a) with (h * (b - a)) by lra. field. split; lra. }
  apply Rle_trans with (ln (exp a * (1 - h + h * exp (b - a))) - m).
  - assert (ln (partition n p d) <= ln (exp a * (1 - h + h * exp (b - a)))); [|lra].
    apply ln_le; [apply (partition_pos n p Hp) | assumption].
  - rewrite ln_mult, ln_exp; [|apply exp_pos | assumption].
    unfold two_point. lra.
Qed.

(** −(max d − min d)²/8 ≤ r. *)
Lemma KL_hoeffding : forall n p d a b, distribution n p ->
  (forall i, (i < n)%nat -> a <= d i <= b) ->
  KL n p (after n p d) <= (b - a) * (b - a) / 8.
Proof.
  intros n p d a b Hp B.
  destruct (Rlt_or_le a b) as [L|G].
  - destruct (KL_le_two_point n p d a b Hp L B) as [Hh K].
    apply Rle_trans with (1 := K). apply two_point_hoeffding; lra.
  - assert (E : forall i, (i < n)%nat -> d i = a) by (intros i Hi; specialize (B i Hi); lra).
    rewrite (KL_after n p Hp).
    rewrite (mean_ext n p d (fun _ => a)) by assumption.
    unfold partition. rewrite (mean_ext n p _ (fun _ => exp a)) by (intros; now rewrite E).
    rewrite !(mean_const n p Hp), ln_exp.
    assert (0 <= (b - a) * (b - a)) by apply Rle_0_sqr. lra.
Qed.

(** ** One regression step *)

Section Step.
  Variables (n : nat) (p : nat -> R) (y t : nat) (s : R).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Ht : runner_up n p y t.
  Hypothesis Hs : 0 < s.

  (** τ = 1 − π_y + π_{y*}: the range of π − e_y. *)
  Let r := 1 - p y + p t.

  Lemma negative_range : forall i, (i < n)%nat -> s * (p y - 1) <= negative p y s i <= s * p t.
  Proof.
    intros i Hi. destruct Ht as [Htn [Dt B]]. pose proof (dist_pos n p Hp) as P.
    unfold negative. destruct (ind_cases i y) as [[E I]|[N I]]; rewrite I.
    - subst i. pose proof (dist_le_1 n p Hp y Hy). pose proof (P t Htn).
      split; apply Rmult_le_compat_l; lra.
    - pose proof (dist_le_1 n p Hp y Hy). pose proof (P i Hi). pose proof (B i Hi N).
      split; apply Rmult_le_compat_l; lra.
  Qed.

  Lemma positive_range : forall i, (i < n)%nat -> - (s * p t) <= positive p y s i <= s * (1 - p y).
  Proof.
    intros i Hi. pose proof (negative_range i Hi) as H. unfold negative, positive in *. lra.
  Qed.

  (** A step of either sign: KL ≤ s²·τ²/8. *)
  Lemma negative_hoeffding : KL n p (after n p (negative p y s)) <= s * s * (r * r) / 8.
  Proof.
    pose proof (KL_hoeffding n p _ _ _ Hp negative_range) as K. unfold r.
    replace (s * s * ((1 - p y + p t) * (1 - p y + p t)) / 8)
      with ((s * p t - s * (p y - 1)) * (s * p t - s * (p y - 1)) / 8) by field. assumption.
  Qed.

  Lemma positive_hoeffding : KL n p (after n p (positive p y s)) <= s * s * (r * r) / 8.
  Proof.
    pose proof (KL_hoeffding n p _ _ _ Hp positive_range) as K. unfold r.
    replace (s * s * ((1 - p y + p t) * (1 - p y + p t)) / 8)
      with ((s * (1 - p y) - - (s * p t)) * (s * (1 - p y) - - (s * p t)) / 8) by field. assumption.
  Qed.

  Lemma mean_negative : mean n p (negative p y s) = s * (norm_sq n p - p y).
  Proof.
    unfold negative. rewrite (mean_scal n p s (fun i => p i - ind i y)), mean_minus,
      (mean_ind n p y Hy). reflexivity.
  Qed.

  Lemma norm_ge_two : p y * p y + p t * p t <= norm_sq n p.
  Proof.
    apply (sum_ge_two n (fun i => p i * p i)); [assumption | apply (proj1 Ht) | |].
    - intro E. now apply (proj1 (proj2 Ht)).
    - intros. apply Rle_0_sqr.
  Qed.

  (** For τ ≥ 1: KL ≤ s²·τ³(2 − τ)/8. *)
  Lemma negative_sharp : 1 <= r ->
    KL n p (after n p (negative p y s)) <= s * s * (r * r * r * (2 - r)) / 8.
  Proof.
    intro Hr. set (a := s * (p y - 1)). set (b := s * p t).
    assert (E : b - a = s * r) by (unfold a, b, r; ring).
    assert (Psr : 0 < s * r) by (apply Rmult_lt_0_compat; lra).
    destruct (KL_le_two_point n p (negative p y s) a b Hp) as [Hh K]; [lra | exact negative_range |].
    rewrite E in K, Hh. set (h := (mean n p (negative p y s) - a) / (s * r)) in *.
    assert (Eh : h * r = norm_sq n p - p y - (p y - 1)).
    { unfold h, a. rewrite mean_negative. field. split; lra. }
    pose proof norm_ge_two as N.
    assert (G : r / 2 <= h).
    { apply (Rmult_le_reg_r r); [lra|]. rewrite Eh.
      assert (r / 2 * r <= (1 - p y) * (1 - p y) + p t * p t); [|lra].
      unfold r. pose proof (Rle_0_sqr (1 - p y - p t)) as Q. unfold Rsqr in Q. lra. }
    apply Rle_trans with (1 := K).
    apply Rle_trans with (h * (1 - h) * (s * r * (s * r)) / 2).
    - apply two_point_upper; lra.
    - assert (Q : h * (1 - h) <= r * (2 - r) / 4) by nra.
      assert (0 <= s * r * (s * r)) as S by apply Rle_0_sqr.
      pose proof (Rmult_le_compat_r _ _ _ S Q). lra.
  Qed.

  (** Whatever π and V: KL ≤ (27/128)·s². *)
  Lemma negative_uniform : KL n p (after n p (negative p y s)) <= 27 / 128 * (s * s).
  Proof.
    assert (0 <= s * s) as S by apply Rle_0_sqr.
    assert (0 < r).
    { unfold r. pose proof (dist_le_1 n p Hp y Hy). pose proof (dist_pos n p Hp t (proj1 Ht)). lra. }
    destruct (Rle_or_lt 1 r) as [G|L].
    - apply Rle_trans with (1 := negative_sharp G).
      (* 27 − 16 r³(2 − r) = (2r − 3)²(4r² + 4r + 3) *)
      assert (Q : r * r * r * (2 - r) / 8 <= 27 / 128).
      { assert (0 <= (2 * r - 3) * (2 * r - 3) * (4 * r * r + 4 * r + 3)); [|lra].
        apply Rmult_le_pos; [apply Rle_0_sqr | nra]. }
      pose proof (Rmult_le_compat_l _ _ _ S Q). lra.
    - apply Rle_trans with (1 := negative_hoeffding).
      assert (Q : r * r / 8 <= 27 / 128) by nra.
      pose proof (Rmult_le_compat_l _ _ _ S Q). lra.
  Qed.

  Lemma negative_remainder_bound : forall i, (i < n)%nat ->
    - (27 / 128) * (s * s) <= remainder n p (negative p y s) i <= 0.
  Proof.
    intros i Hi. split; [|now apply remainder_nonpos].
    rewrite remainder_is_KL by assumption. pose proof negative_uniform. lra.
  Qed.
End Step.

(** ** 27/128 cannot be lowered *)

(** π = (1/4, 3/4). *)
Definition quarter (i : nat) : R := match i with O => 1 / 4 | _ => 3 / 4 end.

Lemma quarter_distribution : distribution 2 quarter.
Proof.
  split; [|cbn [sum]; unfold quarter; lra].
  intros [|[|i]] Hi; unfold quarter; lra || lia.
Qed.

Lemma two_point_lower : forall u, 0 <= u -> 3 / 32 * (u * u) * (1 - u / 3) <= two_point (3 / 4) u.
Proof.
  intros u Hu. set (h := 3 / 4). assert (H : 0 <= h <= 1) by (unfold h; lra).
  assert (T : forall x, 0 <= x -> 3 / 4 <= tilted h x <= 1).
  { intros x Hx. split; [|now apply tilted_range].
    apply Rle_trans with (tilted h 0); [rewrite tilted_0; unfold h; lra | now apply tilted_grows]. }
  (* the second derivative is at least 3/16·(1 − x) … *)
  assert (D2 : forall x, 0 <= x -> 3 / 16 * (1 - x) <= tilted h x * (1 - tilted h x)).
  { intros x Hx.
    pose proof (grows (fun v => tilted h v * (1 - tilted h v) + 3 / 16 * v)
      (fun v => (tilted h v * (1 - tilted h v)) * (1 - tilted h v)
                + tilted h v * (0 - tilted h v * (1 - tilted h v)) + 3 / 16 * 1) 0 x Hx) as G.
    cbv beta in G. rewrite tilted_0 in G. unfold h at 1 2 in G.
    enough (3 / 4 * (1 - 3 / 4) + 3 / 16 * 0 <= tilted h x * (1 - tilted h x) + 3 / 16 * x) by lra.
    apply G.
    - intros v Hv. apply (dl_plus (fun v => tilted h v * (1 - tilted h v)) (fun v => 3 / 16 * v)).
      + apply (dl_mult (tilted h) (fun v => 1 - tilted h v)); [now apply tilted_derivative|].
        apply (dl_minus (fun _ => 1) (tilted h)); [apply dl_const | now apply tilted_derivative].
      + apply (dl_scal (3 / 16) (fun v => v)). apply dl_id.
    - intros v Hv. destruct (T v) as [A B]; [lra|]. set (w := tilted h v) in *.
      assert (w * (1 - w) <= 3 / 16) by nra. assert (0 <= w * (1 - w)) by nra. nra. }
  (* … so the first is at least 3/16·(x − x²/2) … *)
  assert (D1 : forall x, 0 <= x -> 3 / 16 * (x - x * x / 2) <= tilted h x - h).
  { intros x Hx.
    pose proof (grows (fun v => tilted h v - (3 / 16 * v - 3 / 16 * (v * v) / 2))
      (fun v => tilted h v * (1 - tilted h v) - (3 / 16 * 1 - 3 / 16 * v)) 0 x Hx) as G.
    cbv beta in G. rewrite tilted_0 in G.
    enough (h - (3 / 16 * 0 - 3 / 16 * (0 * 0) / 2)
            <= tilted h x - (3 / 16 * x - 3 / 16 * (x * x) / 2)) by lra.
    apply G.
    - intros v Hv. apply (dl_minus (tilted h)); [now apply tilted_derivative|].
      apply (dl_minus (fun v => 3 / 16 * v) (fun v => 3 / 16 * (v * v) / 2));
        [apply (dl_scal (3 / 16) (fun v => v)); apply dl_id | apply quadratic_derivative].
    - intros v Hv. specialize (D2 v). lra. }
  (* … and the value at least 3/32·(x² − x³/3). *)
  pose proof (grows (fun v => two_point h v - (3 / 16 * (v * v) / 2 - 1 / 32 * (v * (v * v))))
    (fun v => tilted h v - h - (3 / 16 * v - 1 / 32 * (1 * (v * v) + v * (1 * v + v * 1)))) 0 u Hu) as G.
  cbv beta in G. rewrite two_point_0 in G.
  enough (0 - (3 / 16 * (0 * 0) / 2 - 1 / 32 * (0 * (0 * 0)))
          <= two_point h u - (3 / 16 * (u * u) / 2 - 1 / 32 * (u * (u * u)))) by lra.
  apply G.
  - intros v Hv. apply (dl_minus (two_point h)); [now apply two_point_derivative|].
    apply (dl_minus (fun v => 3 / 16 * (v * v) / 2) (fun v => 1 / 32 * (v * (v * v))));
      [apply quadratic_derivative|].
    apply (dl_scal (1 / 32) (fun v => v * (v * v))).
    apply (dl_mult (fun v => v) (fun v => v * v)); [apply dl_id|].
    apply (dl_mult (fun v => v) (fun v => v)); apply dl_id.
  - intros v Hv. specialize (D1 v). lra.
Qed.

(** With V = 2 and π = (1/4, 3/4), penalising the first: KL ≥ (27/128)·s²·(1 − s/2). *)
Lemma quarter_KL : forall s, 0 < s ->
  27 / 128 * (s * s) * (1 - s / 2) <= KL 2 quarter (after 2 quarter (negative quarter 0 s)).
Proof.
  intros s Hs. rewrite (KL_after 2 quarter quarter_distribution).
  unfold partition, mean, negative, ind, quarter. cbn [sum Nat.eqb].
  assert (E : 0 + 1 / 4 * exp (s * (1 / 4 - 1)) + 3 / 4 * exp (s * (3 / 4 - 0))
              = exp (- (3 / 4 * s)) * (1 - 3 / 4 + 3 / 4 * exp (3 / 2 * s))).
  { replace (s * (1 / 4 - 1)) with (- (3 / 4 * s)) by lra.
    replace (exp (s * (3 / 4 - 0))) with (exp (- (3 / 4 * s)) * exp (3 / 2 * s))
      by (rewrite <- exp_plus; f_equal; lra). lra. }
  rewrite E, ln_mult, ln_exp; [|apply exp_pos | apply two_point_base; lra].
  pose proof (two_point_lower (3 / 2 * s)) as L. unfold two_point in L. lra.
Qed.

Lemma negative_optimal : forall c, c < 27 / 128 ->
  exists s, 0 < s /\ c * (s * s) < KL 2 quarter (after 2 quarter (negative quarter 0 s)).
Proof.
  intros c Hc. set (s := Rmin 1 (27 / 128 - c)).
  assert (0 < s) by (apply Rmin_glb_lt; lra).
  assert (s <= 27 / 128 - c) by apply Rmin_r.
  exists s. split; [assumption|]. apply Rlt_le_trans with (27 / 128 * (s * s) * (1 - s / 2)).
  - assert (c < 27 / 128 * (1 - s / 2)) by lra.
    assert (0 < s * s) as S by (now apply Rmult_lt_0_compat).
    pose proof (Rmult_lt_compat_r _ _ _ S H1). lra.
  - now apply quarter_KL.
Qed.
