(** One positive (SFT) step on y, exact for every step size (paper: App. E; the mirror of N1–N5).

    d = s·(e_y − π) is largest at y and smallest at y's strongest competitor; among the others the
    likelier loses on the less likely. "All others fall" is not among the theorems: a label i ≠ y
    rises exactly if π_i is below the ceiling −(log Z)/s, which is below ‖π‖² − π_y. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder.
Open Scope R_scope.

Definition positive_growth (n : nat) (p : nat -> R) (y : nat) (s : R) (i : nat) : R :=
  growth n p (positive p y s) i.

Definition after_positive (n : nat) (p : nat -> R) (y : nat) (s : R) (i : nat) : R :=
  after n p (positive p y s) i.

(** A label i ≠ y rises exactly if π_i is below this. *)
Definition ceiling (n : nat) (p : nat -> R) (y : nat) (s : R) : R :=
  - ln (partition n p (positive p y s)) / s.

Lemma positive_label : forall p y s, positive p y s y = s * (1 - p y).
Proof. intros. unfold positive. now rewrite ind_same. Qed.

Lemma positive_other : forall p y s i, i <> y -> positive p y s i = - (s * p i).
Proof. intros. unfold positive. rewrite ind_other by assumption. ring. Qed.

Section Step.
  Variables (n : nat) (p : nat -> R) (y c : nat) (s : R).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Hc : runner_up n p y c.   (* the strongest competitor *)
  Hypothesis Hs : 0 < s.

  Let d := positive p y s.
  Let cn : (c < n)%nat := proj1 Hc.
  Let cy : c <> y := proj1 (proj2 Hc).

  Lemma target_above : forall i, (i < n)%nat -> i <> y -> d i < d y.
  Proof.
    intros i Hi N. unfold d. rewrite positive_label, positive_other by assumption.
    pose proof (dist_pos n p Hp i Hi). pose proof (dist_le_1 n p Hp y Hy). nra.
  Qed.

  Lemma competitor_below : forall i, (i < n)%nat -> d c <= d i.
  Proof.
    intros i Hi. destruct (Nat.eq_dec i y) as [E|N].
    - subst i. apply Rlt_le, target_above; assumption.
    - unfold d. rewrite !positive_other by assumption.
      pose proof (proj2 (proj2 Hc) i Hi N). nra.
  Qed.

  Lemma target_rises : 1 < positive_growth n p y s y.
  Proof.
    apply (largest_rises n p Hp d y c cn); [|now apply target_above].
    intros i Hi. destruct (Nat.eq_dec i y) as [E|N]; [subst; lra | apply Rlt_le; now apply target_above].
  Qed.

  Lemma target_rises_most : forall i, (i < n)%nat -> i <> y ->
    positive_growth n p y s i < positive_growth n p y s y.
  Proof. intros i Hi N. apply (growth_lt n p Hp d). now apply target_above. Qed.

  Lemma competitor_falls : positive_growth n p y s c < 1.
  Proof.
    apply (smallest_falls n p Hp d c y Hy); [exact competitor_below | now apply target_above].
  Qed.

  Lemma competitor_falls_most : forall i, (i < n)%nat ->
    positive_growth n p y s c <= positive_growth n p y s i.
  Proof. intros i Hi. apply (growth_le n p Hp d). now apply competitor_below. Qed.

  Lemma positive_growth_order : forall i j, i <> y -> j <> y ->
    (positive_growth n p y s i < positive_growth n p y s j <-> p j < p i).
  Proof.
    intros i j Ni Nj. unfold positive_growth. rewrite (growth_lt n p Hp).
    rewrite !positive_other by assumption. split; intro H; nra.
  Qed.

  Lemma positive_odds_change : forall i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
    ln (after_positive n p y s i / after_positive n p y s j) - ln (p i / p j) = - (s * (p i - p j)).
  Proof.
    intros i j Hi Hj Ni Nj. unfold after_positive. rewrite (odds_after n p Hp) by assumption.
    rewrite !positive_other by assumption. ring.
  Qed.

  Lemma positive_odds_change_of_target : forall i, (i < n)%nat -> i <> y ->
    ln (after_positive n p y s y / after_positive n p y s i) - ln (p y / p i) = s * (1 + p i - p y).
  Proof.
    intros i Hi N. unfold after_positive. rewrite (odds_after n p Hp) by assumption.
    rewrite positive_label, positive_other by assumption. ring.
  Qed.

  (** ** Which other labels rise *)

  Lemma ceiling_times : s * ceiling n p y s = - ln (partition n p d).
  Proof. unfold ceiling. fold d. field. lra. Qed.

  Lemma riser_iff_below_ceiling : forall i, i <> y ->
    (1 < positive_growth n p y s i <-> p i < ceiling n p y s).
  Proof.
    intros i N. unfold positive_growth. rewrite (growth_gt_1 n p Hp). fold d.
    pose proof ceiling_times as T. unfold d. rewrite positive_other by assumption. fold d.
    split; intro H; [apply (Rmult_lt_reg_l s); lra|].
    apply (Rmult_lt_compat_l s) in H; lra.
  Qed.

  Lemma faller_iff_above_ceiling : forall i, i <> y ->
    (positive_growth n p y s i < 1 <-> ceiling n p y s < p i).
  Proof.
    intros i N. unfold positive_growth. rewrite (growth_lt_1 n p Hp). fold d.
    pose proof ceiling_times as T. unfold d. rewrite positive_other by assumption. fold d.
    split; intro H; [apply (Rmult_lt_reg_l s); lra|].
    apply (Rmult_lt_compat_l s) in H; lra.
  Qed.

  Lemma ceiling_range : p y - 1 < ceiling n p y s < p c.
  Proof.
    split; apply (Rmult_lt_reg_l s); try assumption; rewrite ceiling_times.
    - enough (ln (partition n p d) < s * (1 - p y)) by lra.
      apply (ln_partition_lt n p Hp d _ c cn); unfold d; rewrite <- positive_label.
      + intros i Hi. destruct (Nat.eq_dec i y) as [E|N]; [subst; lra | apply Rlt_le; now apply target_above].
      + now apply target_above.
    - enough (- (s * p c) < ln (partition n p d)) by lra.
      apply (ln_partition_gt n p Hp d _ y Hy); unfold d; rewrite <- (positive_other p y s c) by assumption.
      + exact competitor_below.
      + now apply target_above.
  Qed.

  Lemma mean_positive : mean n p d = s * (p y - norm_sq n p).
  Proof.
    unfold d, positive. rewrite (mean_scal n p s (fun i => ind i y - p i)), (mean_minus n p (fun i => ind i y)),
      (mean_ind n p y Hy). reflexivity.
  Qed.

  Lemma ceiling_below_start : ceiling n p y s < norm_sq n p - p y.
  Proof.
    apply (Rmult_lt_reg_l s); [assumption|]. rewrite ceiling_times.
    enough (mean n p d < ln (partition n p d)) by (rewrite mean_positive in H; lra).
    destruct (Req_dec (d y) (mean n p d)) as [E|N].
    - apply (ln_partition_gt_mean n p Hp d c cn). pose proof (target_above c cn cy). lra.
    - now apply (ln_partition_gt_mean n p Hp d y Hy).
  Qed.

  Lemma ceiling_near_start :
    norm_sq n p - p y - s * ((1 - p y + p c) * (1 - p y + p c)) / 8 <= ceiling n p y s.
  Proof.
    apply (Rmult_le_reg_l s); [assumption|]. rewrite ceiling_times.
    pose proof (positive_hoeffding n p y c s Hp Hy Hc Hs) as K.
    rewrite (KL_after n p Hp) in K. fold d in K. rewrite mean_positive in K. lra.
  Qed.

  (** Every step: a label with π_i ≥ ‖π‖² − π_y falls. *)
  Lemma others_fall_unless_small : forall i, i <> y ->
    norm_sq n p - p y <= p i -> positive_growth n p y s i < 1.
  Proof.
    intros i N H. apply faller_iff_above_ceiling; [assumption|]. pose proof ceiling_below_start. lra.
  Qed.

  (** In particular all others fall once π_y ≥ ‖π‖², as where y is the argmax. *)
  Lemma others_fall_if_target_is_likely : norm_sq n p <= p y ->
    forall i, (i < n)%nat -> i <> y -> positive_growth n p y s i < 1.
  Proof.
    intros H i Hi N. apply others_fall_unless_small; [assumption|].
    pose proof (dist_pos n p Hp i Hi). lra.
  Qed.

  (** A less likely label rises at small steps. *)
  Lemma small_labels_rise_at_first : forall i, i <> y ->
    s * ((1 - p y + p c) * (1 - p y + p c)) / 8 < norm_sq n p - p y - p i ->
    1 < positive_growth n p y s i.
  Proof.
    intros i N H. apply riser_iff_below_ceiling; [assumption|]. pose proof ceiling_near_start. lra.
  Qed.
End Step.

(** ‖π‖² ≤ π_y where y is the argmax. *)
Lemma argmax_is_likely : forall n p y, distribution n p ->
  (forall i, (i < n)%nat -> p i <= p y) -> norm_sq n p <= p y.
Proof. intros n p y Hp H. rewrite <- mean_self. now apply (mean_le_max n p Hp). Qed.

(** The ceiling does not rise with the step: the set of other labels that rise shrinks. *)
Lemma ceiling_nonincreasing : forall n p y s s', distribution n p -> 0 < s -> s <= s' ->
  ceiling n p y s' <= ceiling n p y s.
Proof.
  intros n p y s s' Hp Hs L. set (l := s / s').
  assert (El : l * s' = s) by (unfold l; field; lra).
  assert (Hl : 0 <= l <= 1) by (split; [apply le_div; lra | apply div_le; lra]).
  pose proof (ln_partition_scaled n p (positive p y s') l Hp Hl) as S.
  rewrite (partition_ext n p (fun j => l * positive p y s' j) (positive p y s)) in S
    by (intros; unfold positive; rewrite <- El; ring).
  unfold ceiling. apply le_div; [lra|].
  replace (- ln (partition n p (positive p y s')) / s' * s)
    with (- (l * ln (partition n p (positive p y s')))) by (rewrite <- El; field; lra). lra.
Qed.

Lemma positive_risers_shrink : forall n p y (s s' : R) i, distribution n p -> 0 < s -> s <= s' -> i <> y ->
  1 < positive_growth n p y s' i -> 1 < positive_growth n p y s i.
Proof.
  intros n p y s s' i Hp Hs L N H. apply riser_iff_below_ceiling in H; try assumption; [|lra].
  apply riser_iff_below_ceiling; try assumption.
  pose proof (ceiling_nonincreasing n p y s s' Hp Hs L). lra.
Qed.

(** On the logits: α is the ratio of the softmaxes of z + s·(e_y − π) and z. *)
Lemma positive_step_of_logits : forall n z y s i, (0 < n)%nat ->
  softmax n (fun j => z j + positive (softmax n z) y s j) i = softmax n z i * positive_growth n (softmax n z) y s i.
Proof. intros. now apply softmax_moved. Qed.
