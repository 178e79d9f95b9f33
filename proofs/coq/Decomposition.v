(** Prediction and remainder together: one step, many steps, and how fast the remainder vanishes
    (paper: §2, eq. 3).

    Δ log π = A·Δz − KL(π ‖ π′)·1 for any change of the logits, so a run's predictions and remainders add
    up to what is measured; r(s)/s² tends to −Var_π(d)/2; and where the logits themselves move by s·d
    only up to C·s², as those of a network do, the prediction is still right up to a multiple of s². *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder NegativeStep PositiveStep.
Open Scope R_scope.

(** ** One step, many steps *)

Lemma exact_change : forall n z d i, (i < n)%nat ->
  ln (softmax n (fun j => z j + d j) i) - ln (softmax n z i)
  = adapt n (softmax n z) d i - KL n (softmax n z) (softmax n (fun j => z j + d j)).
Proof.
  intros n z d i Hi. assert (Hn : (0 < n)%nat) by lia. pose proof (softmax_distribution n z Hn) as Hp.
  assert (K : KL n (softmax n z) (softmax n (fun j => z j + d j)) = KL n (softmax n z) (after n (softmax n z) d)).
  { unfold KL. apply mean_ext. intros. now rewrite softmax_moved. }
  rewrite K. pose proof (remainder_is_KL n _ Hp d i Hi) as R. unfold remainder in R.
  rewrite ln_div in R.
  - rewrite softmax_moved by assumption. lra.
  - now apply (dist_pos n _ (after_distribution n _ Hp d)).
  - now apply (dist_pos n _ Hp).
Qed.

(** The logits after t steps d_0, …, d_{t−1}. *)
Definition moved (z : nat -> R) (d : nat -> nat -> R) (t j : nat) : R := z j + sum t (fun u => d u j).

Lemma steps_add_up : forall n z d T i, (i < n)%nat ->
  ln (softmax n (moved z d T) i) - ln (softmax n z i)
  = sum T (fun t => adapt n (softmax n (moved z d t)) (d t) i)
    - sum T (fun t => KL n (softmax n (moved z d t)) (softmax n (moved z d (S t)))).
Proof.
  intros n z d T i Hi. induction T as [|T IH].
  - cbn [sum]. rewrite (softmax_ext n (moved z d 0) z) by (intros; unfold moved; cbn [sum]; ring). ring.
  - cbn [sum]. pose proof (exact_change n (moved z d T) (d T) i Hi) as E.
    assert (M : forall k, softmax n (fun j => moved z d T j + d T j) k = softmax n (moved z d (S T)) k)
      by (intro; apply softmax_ext; intros; unfold moved; cbn [sum]; ring).
    assert (K : KL n (softmax n (moved z d T)) (softmax n (fun j => moved z d T j + d T j))
                = KL n (softmax n (moved z d T)) (softmax n (moved z d (S T))))
      by (unfold KL; apply mean_ext; intros; now rewrite M).
    rewrite M, K in E. lra.
Qed.

(** ** The remainder is of second order *)

(** If f(0) = f′(0) = 0 and f″(0) = V, then f(s)/s² → V/2. *)
Lemma second_order : forall f g V, f 0 = 0 -> g 0 = 0 -> (forall s, derivable_pt_lim f s (g s)) ->
  derivable_pt_lim g 0 V -> limit1_in (fun s => f s / (s * s)) (fun s => 0 < s) (V / 2) 0.
Proof.
  intros f g V F0 G0 Df Dg eps He. destruct (Dg (eps / 2)) as [delta Hd]; [lra|].
  exists delta. split; [apply (cond_pos delta)|]. intros s [Hs Ls].
  cbn in Ls |- *. unfold R_dist in *. rewrite Rminus_0_r, Rabs_right in Ls by lra.
  assert (D : forall c, 0 <= c <= s -> derivable_pt_lim (fun x => f x - V * (x * x) / 2) c (g c - V * c)).
  { intros c _. apply (dl_minus f (fun x => V * (x * x) / 2)); [apply Df | apply quadratic_derivative]. }
  destruct (MVT_cor2 _ _ 0 s Hs D) as [c [E [C0 Cs]]].
  specialize (Hd c). rewrite Rplus_0_l, G0, Rminus_0_r, Rabs_right in Hd by lra.
  specialize (Hd ltac:(lra) ltac:(lra)).
  assert (B : Rabs (g c - V * c) <= eps / 2 * s).
  { replace (g c - V * c) with ((g c / c - V) * c) by (field; lra).
    rewrite Rabs_mult, (Rabs_right c) by lra.
    apply Rmult_le_compat; [apply Rabs_pos | lra | lra | lra]. }
  replace (f s / (s * s) - V / 2) with ((f s - V * (s * s) / 2) / (s * s)) by (field; lra).
  assert (E' : f s - V * (s * s) / 2 = (g c - V * c) * s) by (rewrite F0 in E; lra).
  rewrite E'. replace ((g c - V * c) * s / (s * s)) with ((g c - V * c) / s) by (field; lra).
  unfold Rdiv. rewrite Rabs_mult, (Rabs_right (/ s)) by (apply Rle_ge, Rlt_le, Rinv_0_lt_compat; lra).
  apply Rle_lt_trans with (eps / 2 * s * / s).
  - apply Rmult_le_compat_r; [apply Rlt_le, Rinv_0_lt_compat; lra | assumption].
  - replace (eps / 2 * s * / s) with (eps / 2) by (field; lra). lra.
Qed.

Section SecondOrder.
  Variables (n : nat) (p d : nat -> R) (i : nat).
  Hypothesis Hp : distribution n p.
  Hypothesis Hi : (i < n)%nat.

  Let r (s : R) := remainder n p (fun j => s * d j) i.

  (** Var_π(d). *)
  Let V := mean n p (fun j => d j * d j) - mean n p d * mean n p d.

  Lemma remainder_along : forall s, r s = - (ln (partition n p (fun j => s * d j)) - s * mean n p d).
  Proof.
    intro s. unfold r. now rewrite (remainder_is_KL n p Hp), (KL_after n p Hp), mean_scal.
  Qed.

  Lemma remainder_second_order : limit1_in (fun s => r s / (s * s)) (fun s => 0 < s) (- V / 2) 0.
  Proof.
    apply (second_order r (fun s => - (mean n (after n p (fun j => s * d j)) d - mean n p d))).
    - rewrite remainder_along. unfold partition.
      rewrite (mean_ext n p _ (fun _ => 1)) by (intros; now rewrite Rmult_0_l, exp_0).
      rewrite (mean_const n p Hp), ln_1. ring.
    - assert (Z : mean n (after n p (fun j => 0 * d j)) d = mean n p d); [|rewrite Z; ring].
      apply sum_ext. intros j _. unfold after, growth, partition.
      rewrite (mean_ext n p _ (fun _ => 1)) by (intros; now rewrite Rmult_0_l, exp_0).
      rewrite (mean_const n p Hp), Rmult_0_l, exp_0. field.
    - intro s. apply (dl_ext (fun s => s * mean n p d - ln (partition n p (fun j => s * d j)))).
      { intro x. rewrite remainder_along. ring. }
      apply (dl_val _ _ ((1 * mean n p d + s * 0) - mean n (after n p (fun j => s * d j)) d)); [|ring].
      apply (dl_minus (fun s => s * mean n p d)); [|now apply ln_partition_derivative].
      apply (dl_mult (fun s => s) (fun _ => mean n p d)); [apply dl_id | apply dl_const].
    - apply (dl_ext (fun s => mean n p d - sum n (fun j => after n p (fun k => s * d k) j * d j)));
        [intro; unfold mean; ring|].
      apply (dl_val _ _ (0 - sum n (fun j => p j * adapt n p d j * d j + after n p (fun k => 0 * d k) j * 0))).
      + apply (dl_minus (fun _ => mean n p d)); [apply dl_const|].
        apply (dl_sum n (fun j s => after n p (fun k => s * d k) j * d j)). intros j Hj.
        apply (dl_mult (fun s => after n p (fun k => s * d k) j) (fun _ => d j));
          [now apply softmax_derivative | apply dl_const].
      + rewrite (sum_ext n _ (fun j => p j * (d j * d j) - mean n p d * (p j * d j)))
          by (intros; rewrite adapt_value by assumption; ring).
        rewrite sum_minus, sum_scal. unfold V, mean. ring.
  Qed.

  Variables (k l : nat).
  Hypothesis Hk : (k < n)%nat.
  Hypothesis Hl : (l < n)%nat.
  Hypothesis Hd : d k <> d l.

  Lemma variance_pos : 0 < V.
  Proof.
    pose proof (chebyshev_strict n p Hp d d k l Hk Hl) as C.
    assert (S : forall x, 0 <= x * x) by (intro; apply Rle_0_sqr).
    enough (mean n p d * mean n p d < mean n p (fun j => d j * d j)) by (unfold V; lra).
    apply C; [intros; apply S|]. apply Rlt_0_sqr. lra.
  Qed.

  Lemma remainder_along_negative : forall s, 0 < s -> r s < 0.
  Proof.
    intros s Hs. rewrite remainder_along, <- mean_scal.
    assert (E : exists j, (j < n)%nat /\ s * d j <> mean n p (fun j => s * d j)).
    { destruct (Req_dec (s * d k) (mean n p (fun j => s * d j))) as [E|N]; [|now exists k].
      exists l. split; [assumption|]. rewrite <- E. intro F. apply Hd. apply (Rmult_eq_reg_l s); lra. }
    destruct E as [j [Hj N]]. pose proof (ln_partition_gt_mean n p Hp (fun j => s * d j) j Hj N). lra.
  Qed.

  (** Halving s quarters r. *)
  Lemma halving_quarters : limit1_in (fun s => r (s / 2) / r s) (fun s => 0 < s) (1 / 4) 0.
  Proof.
    pose proof remainder_second_order as L. pose proof variance_pos as P.
    assert (H : limit1_in (fun s => r (s / 2) / (s / 2 * (s / 2))) (fun s => 0 < s) (- V / 2) 0).
    { intros eps He. destruct (L eps He) as [a [A B]]. exists a. split; [assumption|].
      intros s [S D]. cbn in D. unfold R_dist in D. rewrite Rminus_0_r, Rabs_right in D by lra.
      apply (B (s / 2)). split; [lra|]. cbn. unfold R_dist. rewrite Rminus_0_r, Rabs_right; lra. }
    pose proof (limit_mul _ _ _ _ _ _ H (limit_inv _ _ _ _ L ltac:(lra))) as Q.
    intros eps He. destruct (Q (4 * eps) ltac:(lra)) as [a [A B]]. exists a. split; [assumption|].
    intros s [S D]. specialize (B s (conj S D)). cbn in B |- *. unfold R_dist in *.
    pose proof (remainder_along_negative s S) as N.
    replace (r (s / 2) / r s - 1 / 4)
      with (1 / 4 * (r (s / 2) / (s / 2 * (s / 2)) * / (r s / (s * s)) - - V / 2 * / (- V / 2)))
      by (field; repeat split; lra).
    rewrite Rabs_mult, (Rabs_right (1 / 4)) by lra. lra.
  Qed.
End SecondOrder.

(** A regression step of either sign. *)
Lemma regression_halving : forall n p y t i, distribution n p -> (y < n)%nat -> runner_up n p y t -> (i < n)%nat ->
  limit1_in (fun s => remainder n p (negative p y (s / 2)) i / remainder n p (negative p y s) i)
    (fun s => 0 < s) (1 / 4) 0
  /\ limit1_in (fun s => remainder n p (positive p y (s / 2)) i / remainder n p (positive p y s) i)
    (fun s => 0 < s) (1 / 4) 0.
Proof.
  intros n p y t i Hp Hy [Ht [D B]] Hi.
  pose proof (dist_pos n p Hp t Ht). pose proof (dist_le_1 n p Hp y Hy). split.
  - apply (halving_quarters n p (fun j => p j - ind j y) i Hp Hi y t Hy Ht).
    rewrite ind_same, ind_other by assumption. lra.
  - apply (halving_quarters n p (fun j => ind j y - p j) i Hp Hi y t Hy Ht).
    rewrite ind_same, ind_other by assumption. lra.
Qed.

(** ** Networks: logits that are not linear in the step *)

(** log softmax moves by at most 2c where no logit moves by more than c. *)
Lemma log_softmax_lipschitz : forall n z u c i, (i < n)%nat -> (forall j, (j < n)%nat -> Rabs (u j) <= c) ->
  Rabs (ln (softmax n (fun j => z j + u j) i) - ln (softmax n z i)) <= 2 * c.
Proof.
  intros n z u c i Hi B. assert (Hn : (0 < n)%nat) by lia. pose proof (softmax_distribution n z Hn) as Hp.
  rewrite softmax_moved, (ln_after n _ Hp) by assumption.
  assert (U : forall j, (j < n)%nat -> - c <= u j <= c).
  { intros j Hj. now apply Rabs_bounds, B. }
  pose proof (partition_pos n _ Hp u) as P.
  assert (L : - c <= ln (partition n (softmax n z) u) <= c).
  { split; [rewrite <- (ln_exp (- c)) at 1 | rewrite <- (ln_exp c)]; apply ln_le; try apply exp_pos; try assumption.
    - apply (mean_ge_min n _ Hp). intros. apply exp_le. now apply U.
    - apply (mean_le_max n _ Hp). intros. apply exp_le. now apply U. }
  specialize (U i Hi). apply Rabs_le. lra.
Qed.

(** Logits that are differentiable in the step: the prediction is the derivative of log π. *)
Lemma log_softmax_along : forall n (z : R -> nat -> R) d i, (i < n)%nat ->
  (forall j, (j < n)%nat -> derivable_pt_lim (fun e => z e j) 0 (d j)) ->
  derivable_pt_lim (fun e => ln (softmax n (z e) i)) 0 (adapt n (softmax n (z 0)) d i).
Proof.
  intros n z d i Hi D. assert (Hn : (0 < n)%nat) by lia.
  assert (P : forall e, 0 < sum n (fun j => exp (z e j))).
  { intro e. apply (sum_pos n _ 0); auto; intros; try apply Rlt_le; apply exp_pos. }
  apply (dl_ext (fun e => z e i - ln (sum n (fun j => exp (z e j))))).
  { intro e. unfold softmax. rewrite ln_div, ln_exp by (apply exp_pos || apply P). reflexivity. }
  apply (dl_val _ _ (d i - sum n (fun j => exp (z 0 j) * d j) / sum n (fun j => exp (z 0 j)))).
  - apply (dl_minus (fun e => z e i)); [auto|].
    apply (dl_ln (fun e => sum n (fun j => exp (z e j)))); [apply P|].
    apply (dl_sum n (fun j e => exp (z e j))). intros j Hj. apply (dl_exp (fun e => z e j)). auto.
  - rewrite (adapt_value n (softmax n (z 0))) by assumption. unfold mean, softmax.
    rewrite <- sum_div. f_equal. apply sum_ext. intros. field. apply Rgt_not_eq, P.
Qed.

(** … and twice differentiable: what it misses is of second order. *)
Lemma network_error : forall n (z : R -> nat -> R) d a b C e i, (i < n)%nat ->
  (forall j, (j < n)%nat -> a <= d j <= b) ->
  (forall j, (j < n)%nat -> Rabs (z e j - z 0 j - e * d j) <= C * (e * e)) ->
  Rabs (ln (softmax n (z e) i) - ln (softmax n (z 0) i) - e * adapt n (softmax n (z 0)) d i)
  <= (2 * C + (b - a) * (b - a) / 8) * (e * e).
Proof.
  intros n z d a b C e i Hi D H. assert (Hn : (0 < n)%nat) by lia.
  pose proof (softmax_distribution n (z 0) Hn) as Hp.
  set (w := fun j => z 0 j + e * d j). set (u := fun j => z e j - w j).
  pose proof (exact_change n (z 0) (fun j => e * d j) i Hi) as X. cbv beta in X. fold w in X.
  pose proof (log_softmax_lipschitz n w u (C * (e * e)) i Hi) as L.
  rewrite (softmax_ext n (fun j => w j + u j) (z e)) in L by (intros; unfold u; ring).
  assert (L' : Rabs (ln (softmax n (z e) i) - ln (softmax n w i)) <= 2 * (C * (e * e))).
  { apply L. intros j Hj. unfold u, w. specialize (H j Hj).
    now replace (z e j - (z 0 j + e * d j)) with (z e j - z 0 j - e * d j) by ring. }
  assert (A : adapt n (softmax n (z 0)) (fun j => e * d j) i = e * adapt n (softmax n (z 0)) d i).
  { rewrite !adapt_value, mean_scal by assumption. ring. }
  rewrite A in X.
  assert (K : 0 <= KL n (softmax n (z 0)) (softmax n w) <= (b - a) * (b - a) / 8 * (e * e)).
  { assert (E : KL n (softmax n (z 0)) (softmax n w)
                = KL n (softmax n (z 0)) (after n (softmax n (z 0)) (fun j => e * d j))).
    { unfold KL. apply mean_ext. intros. unfold w. now rewrite softmax_moved. }
    split; [apply KL_nonneg; [assumption | now apply softmax_distribution]|]. rewrite E.
    destruct (Rle_or_lt 0 e) as [G|G].
    - pose proof (KL_hoeffding n (softmax n (z 0)) (fun j => e * d j) (e * a) (e * b) Hp) as B.
      replace ((b - a) * (b - a) / 8 * (e * e)) with ((e * b - e * a) * (e * b - e * a) / 8) by field.
      apply B. intros j Hj. specialize (D j Hj). split; apply Rmult_le_compat_l; lra.
    - pose proof (KL_hoeffding n (softmax n (z 0)) (fun j => e * d j) (e * b) (e * a) Hp) as B.
      replace ((b - a) * (b - a) / 8 * (e * e)) with ((e * a - e * b) * (e * a - e * b) / 8) by field.
      apply B. intros j Hj. specialize (D j Hj). split; apply Rmult_le_compat_neg_l; lra. }
  apply Rabs_bounds in L'. apply Rabs_le. lra.
Qed.
