(** The softmax, and what moving its logits by any d does to every probability.

    With π = softmax(z): softmax(z + d)_i = π_i·α_i, α_i = e^{d_i}/Z, Z = Σ_j π_j e^{d_j}. So the order
    of the growth factors α is the order of d, and α_i > 1 exactly if d_i > log Z. Every later file
    works with π alone; [softmax_moved] and [every_distribution_is_a_softmax] say that nothing is
    lost by that. All definitions of the setting (paper: §3.3 and App. E) are here. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus.
Open Scope R_scope.

(** softmax(z)_i. *)
Definition softmax (n : nat) (z : nat -> R) (i : nat) : R :=
  exp (z i) / sum n (fun j => exp (z j)).

(** Z = Σ_j π_j e^{d_j}. *)
Definition partition (n : nat) (p d : nat -> R) : R := mean n p (fun j => exp (d j)).

(** α_i = π′_i/π_i, the growth factor of label i when the logits move by d (paper: Lemma 1). *)
Definition growth (n : nat) (p d : nat -> R) (i : nat) : R := exp (d i) / partition n p d.

(** π′_i. *)
Definition after (n : nat) (p d : nat -> R) (i : nat) : R := p i * growth n p d i.

(** The change of the logits by one negative step of effective size s on y: s·(π − e_y). *)
Definition negative (p : nat -> R) (y : nat) (s : R) (i : nat) : R := s * (p i - ind i y).

(** The change by one positive (SFT) step on y: s·(e_y − π). *)
Definition positive (p : nat -> R) (y : nat) (s : R) (i : nat) : R := s * (ind i y - p i).

(** t is y*, a likeliest label other than y. *)
Definition runner_up (n : nat) (p : nat -> R) (y t : nat) : Prop :=
  (t < n)%nat /\ t <> y /\ forall i, (i < n)%nat -> i <> y -> p i <= p t.

Lemma runner_up_exists : forall n p y, (2 <= n)%nat -> exists t, runner_up n p y t.
Proof.
  intros n p y H. apply (best_other_exists n y p).
  destruct (Nat.eq_dec y 0) as [E|N]; [exists 1%nat | exists 0%nat]; split; lia.
Qed.

Section Moved.
  Variables (n : nat) (p : nat -> R).
  Hypothesis Hp : distribution n p.
  Variable d : nat -> R.

  Let Z := partition n p d.

  Lemma partition_pos : 0 < partition n p d.
  Proof. apply (mean_pos n p Hp). intros. apply exp_pos. Qed.

  Lemma growth_pos : forall i, 0 < growth n p d i.
  Proof. intro i. apply Rdiv_lt_0_compat; [apply exp_pos | exact partition_pos]. Qed.

  Lemma ln_growth : forall i, ln (growth n p d i) = d i - ln Z.
  Proof.
    intro i. unfold growth. rewrite ln_div, ln_exp; [reflexivity | apply exp_pos | exact partition_pos].
  Qed.

  Lemma mean_growth : mean n p (growth n p d) = 1.
  Proof.
    unfold mean, growth.
    rewrite (sum_ext n _ (fun j => p j * exp (d j) / partition n p d)) by (intros; unfold Rdiv; ring).
    rewrite sum_div. change (partition n p d / partition n p d = 1). field.
    apply Rgt_not_eq, partition_pos.
  Qed.

  (** π′ is a distribution again. *)
  Lemma after_distribution : distribution n (after n p d).
  Proof.
    split.
    - intros i Hi. apply Rmult_lt_0_compat; [now apply (dist_pos n p Hp) | apply growth_pos].
    - exact mean_growth.
  Qed.

  Lemma growth_of_after : forall i, (i < n)%nat -> after n p d i / p i = growth n p d i.
  Proof. intros i Hi. unfold after. field. apply Rgt_not_eq. now apply (dist_pos n p Hp). Qed.

  Lemma ln_after : forall i, (i < n)%nat -> ln (after n p d i) = ln (p i) + d i - ln Z.
  Proof.
    intros i Hi. unfold after.
    rewrite ln_mult, ln_growth; [ring | now apply (dist_pos n p Hp) | apply growth_pos].
  Qed.

  (** The order of the growth factors is the order of d. *)
  Lemma growth_lt : forall i j, growth n p d i < growth n p d j <-> d i < d j.
  Proof.
    intros i j. pose proof partition_pos as P. split; intro H.
    - apply exp_lt_inv. apply (Rmult_lt_compat_r (partition n p d)) in H; [|assumption].
      assert (E : forall k, growth n p d k * partition n p d = exp (d k))
        by (intro k; unfold growth; field; lra).
      now rewrite !E in H.
    - apply div_lt_div; [assumption | now apply exp_increasing].
  Qed.

  Lemma growth_le : forall i j, growth n p d i <= growth n p d j <-> d i <= d j.
  Proof.
    intros i j. split; intro H.
    - apply Rnot_lt_le. intro L. apply growth_lt in L. lra.
    - apply div_le_div; [exact partition_pos | now apply exp_le].
  Qed.

  Lemma growth_eq : forall i j, growth n p d i = growth n p d j <-> d i = d j.
  Proof.
    intros i j. split; intro H.
    - apply Rle_antisym; apply growth_le; lra.
    - unfold growth. now rewrite H.
  Qed.

  (** A label rises exactly if its d exceeds log Z. *)
  Lemma growth_gt_1 : forall i, 1 < growth n p d i <-> ln Z < d i.
  Proof.
    intro i. pose proof partition_pos as P. unfold growth. split; intro H.
    - apply div_gt_1_inv in H; [|assumption]. rewrite <- (ln_exp (d i)). now apply ln_increasing.
    - apply div_gt_1; [assumption|]. rewrite <- (exp_ln _ P). now apply exp_increasing.
  Qed.

  Lemma growth_lt_1 : forall i, growth n p d i < 1 <-> d i < ln Z.
  Proof.
    intro i. pose proof partition_pos as P. unfold growth. split; intro H.
    - apply div_lt_1_inv in H; [|assumption]. rewrite <- (ln_exp (d i)).
      apply ln_increasing; [apply exp_pos | assumption].
    - apply div_lt_1; [assumption|]. rewrite <- (exp_ln _ P). now apply exp_increasing.
  Qed.

  (** The label with the largest d rises, the one with the smallest d falls, unless all are equal. *)
  Lemma largest_rises : forall t k, (k < n)%nat ->
    (forall i, (i < n)%nat -> d i <= d t) -> d k < d t -> 1 < growth n p d t.
  Proof.
    intros t k Hk H L. apply div_gt_1; [exact partition_pos|].
    apply (mean_lt_max n p Hp _ _ k Hk); [|now apply exp_increasing].
    intros i Hi. apply exp_le. auto.
  Qed.

  Lemma smallest_falls : forall t k, (k < n)%nat ->
    (forall i, (i < n)%nat -> d t <= d i) -> d t < d k -> growth n p d t < 1.
  Proof.
    intros t k Hk H L. apply div_lt_1; [exact partition_pos|].
    apply (mean_gt_min n p Hp _ _ k Hk); [|now apply exp_increasing].
    intros i Hi. apply exp_le. auto.
  Qed.

  Lemma largest_does_not_fall : forall t, (forall i, (i < n)%nat -> d i <= d t) -> 1 <= growth n p d t.
  Proof.
    intros t H. apply le_div; [exact partition_pos|]. rewrite Rmult_1_l.
    apply (mean_le_max n p Hp). intros i Hi. apply exp_le. auto.
  Qed.

  Lemma smallest_does_not_rise : forall t, (forall i, (i < n)%nat -> d t <= d i) -> growth n p d t <= 1.
  Proof.
    intros t H. apply div_le; [exact partition_pos|]. rewrite Rmult_1_l.
    apply (mean_ge_min n p Hp). intros i Hi. apply exp_le. auto.
  Qed.

  (** log Z lies between the extremes of d, strictly unless all are equal. *)
  Lemma ln_partition_lt : forall m k, (k < n)%nat ->
    (forall i, (i < n)%nat -> d i <= m) -> d k < m -> ln Z < m.
  Proof.
    intros m k Hk H L. rewrite <- (ln_exp m). apply ln_increasing; [exact partition_pos|].
    apply (mean_lt_max n p Hp _ _ k Hk); [|now apply exp_increasing].
    intros i Hi. apply exp_le. auto.
  Qed.

  Lemma ln_partition_gt : forall m k, (k < n)%nat ->
    (forall i, (i < n)%nat -> m <= d i) -> m < d k -> m < ln Z.
  Proof.
    intros m k Hk H L. rewrite <- (ln_exp m) at 1. apply ln_increasing; [apply exp_pos|].
    apply (mean_gt_min n p Hp _ _ k Hk); [|now apply exp_increasing].
    intros i Hi. apply exp_le. auto.
  Qed.

  (** … strictly unless all are equal. *)
  Lemma ln_partition_gt_mean : forall k, (k < n)%nat -> d k <> mean n p d -> mean n p d < ln Z.
  Proof.
    intros k Hk N. pose proof partition_pos as P. set (m := mean n p d) in *.
    rewrite <- (ln_exp m). apply ln_increasing; [apply exp_pos|].
    assert (E : forall i, exp m * exp (d i - m) = exp (d i)).
    { intros i. rewrite <- exp_plus. f_equal. ring. }
    apply Rle_lt_trans with (mean n p (fun i => exp m * (1 + (d i - m)))).
    - rewrite mean_scal, (mean_plus n p (fun _ => 1)), (mean_minus n p d), !(mean_const n p Hp).
      fold m. lra.
    - apply (mean_lt n p Hp _ _ k Hk).
      + intros i Hi. rewrite <- E. apply Rmult_le_compat_l; [apply Rlt_le, exp_pos | apply exp_ineq1_le].
      + rewrite <- E. apply Rmult_lt_compat_l; [apply exp_pos | apply exp_ineq1; lra].
  Qed.

  (** Log-odds move by the difference of d. *)
  Lemma odds_after : forall i j, (i < n)%nat -> (j < n)%nat ->
    ln (after n p d i / after n p d j) - ln (p i / p j) = d i - d j.
  Proof.
    intros i j Hi Hj. pose proof (dist_pos n p Hp) as P.
    pose proof (dist_pos _ _ after_distribution) as P'.
    rewrite !ln_div, !ln_after by auto. ring.
  Qed.
End Moved.

(** An equal change of all logits changes nothing. *)
Lemma growth_shift : forall n p d c i, distribution n p ->
  growth n p (fun j => d j + c) i = growth n p d i.
Proof.
  intros n p d c i Hp. unfold growth, partition.
  rewrite (mean_ext n p _ (fun j => exp c * exp (d j))) by (intros; rewrite exp_plus; ring).
  rewrite mean_scal, exp_plus. pose proof (exp_pos c). pose proof (partition_pos n p Hp d) as P.
  unfold partition in P. field. split; lra.
Qed.

Lemma growth_ext : forall n p d e i, (i < n)%nat -> (forall j, (j < n)%nat -> d j = e j) ->
  growth n p d i = growth n p e i.
Proof.
  intros n p d e i Hi H. unfold growth, partition. rewrite (H i Hi).
  now rewrite (mean_ext n p _ (fun j => exp (e j))) by (intros; now rewrite H).
Qed.

Lemma partition_ext : forall n p d e, (forall j, (j < n)%nat -> d j = e j) ->
  partition n p d = partition n p e.
Proof. intros n p d e H. apply mean_ext. intros j Hj. now rewrite H. Qed.

(** Hölder: log Z is convex in d. *)
Lemma ln_partition_convex : forall n p d e l, distribution n p -> 0 <= l <= 1 ->
  ln (partition n p (fun j => l * d j + (1 - l) * e j))
  <= l * ln (partition n p d) + (1 - l) * ln (partition n p e).
Proof.
  intros n p d e l Hp Hl.
  pose proof (partition_pos n p Hp d) as P. pose proof (partition_pos n p Hp e) as Q.
  set (b := l * ln (partition n p d) + (1 - l) * ln (partition n p e)).
  apply ln_le_iff_exp; [now apply partition_pos|].
  enough (exp (- b) * partition n p (fun j => l * d j + (1 - l) * e j) <= 1) as H.
  { apply (Rmult_le_compat_l (exp b)) in H; [|apply Rlt_le, exp_pos].
    rewrite <- Rmult_assoc, exp_inv_pair in H. lra. }
  unfold partition. rewrite <- mean_scal.
  apply Rle_trans with (mean n p (fun j => l * growth n p d j + (1 - l) * growth n p e j)).
  - apply (mean_le n p Hp). intros j _. rewrite <- exp_plus.
    pose proof (exp_convex l (d j - ln (partition n p d)) (e j - ln (partition n p e)) Hl) as C.
    rewrite !exp_minus, (exp_ln (partition n p d)), (exp_ln (partition n p e)) in C by assumption.
    replace (- b + (l * d j + (1 - l) * e j))
      with (l * (d j - ln (partition n p d)) + (1 - l) * (e j - ln (partition n p e)));
      [assumption | unfold b; ring].
  - rewrite (mean_plus n p (fun j => l * _)), !mean_scal, !(mean_growth n p Hp). lra.
Qed.

(** Bernoulli: Z(l·d) ≤ Z(d)^l. *)
Lemma ln_partition_scaled : forall n p d l, distribution n p -> 0 <= l <= 1 ->
  ln (partition n p (fun j => l * d j)) <= l * ln (partition n p d).
Proof.
  intros n p d l Hp Hl. pose proof (ln_partition_convex n p d (fun _ => 0) l Hp Hl) as C. cbv beta in C.
  rewrite (partition_ext n p (fun j => l * d j + (1 - l) * 0) (fun j => l * d j)) in C by (intros; ring).
  unfold partition at 3 in C. rewrite (mean_const n p Hp), exp_0, ln_1 in C. lra.
Qed.

(** 1/α_i is the average of e^{d_j − d_i}. *)
Lemma inverse_growth : forall n p d i, distribution n p ->
  1 / growth n p d i = mean n p (fun j => exp (d j - d i)).
Proof.
  intros n p d i Hp. rewrite (mean_ext n p _ (fun j => / exp (d i) * exp (d j))).
  - rewrite mean_scal. unfold growth. fold (partition n p d). pose proof (exp_pos (d i)).
    pose proof (partition_pos n p Hp d). field. lra.
  - intros j _. rewrite exp_minus. unfold Rdiv. ring.
Qed.

(** Growth factors, of any two states, are compared by their inverses. *)
Lemma growth_lt_by_inverse : forall n p d i m q e j, distribution n p -> distribution m q ->
  1 / growth m q e j < 1 / growth n p d i -> growth n p d i < growth m q e j.
Proof.
  intros n p d i m q e j Hp Hq H.
  pose proof (growth_pos n p Hp d i) as A. pose proof (growth_pos m q Hq e j) as B.
  apply Rnot_le_lt. intro L. apply Rlt_not_le in H. apply H.
  unfold Rdiv. rewrite !Rmult_1_l. now apply Rinv_le_contravar.
Qed.

Lemma growth_le_by_inverse : forall n p d i m q e j, distribution n p -> distribution m q ->
  1 / growth m q e j <= 1 / growth n p d i -> growth n p d i <= growth m q e j.
Proof.
  intros n p d i m q e j Hp Hq H.
  pose proof (growth_pos n p Hp d i) as A. pose proof (growth_pos m q Hq e j) as B.
  apply Rnot_lt_le. intro L. apply Rle_not_lt in H. apply H.
  unfold Rdiv. rewrite !Rmult_1_l. apply Rinv_lt_contravar; [now apply Rmult_lt_0_compat | assumption].
Qed.

(** ** Logits and probabilities *)

Lemma softmax_distribution : forall n z, (0 < n)%nat -> distribution n (softmax n z).
Proof.
  intros n z Hn. assert (P : 0 < sum n (fun j => exp (z j))).
  { apply (sum_pos n _ 0); auto; intros; try apply Rlt_le; apply exp_pos. }
  split.
  - intros i Hi. apply Rdiv_lt_0_compat; [apply exp_pos | assumption].
  - unfold softmax. rewrite sum_div. field. lra.
Qed.

Lemma softmax_ext : forall n z w i, (forall j, z j = w j) -> softmax n z i = softmax n w i.
Proof.
  intros n z w i H. unfold softmax. rewrite (H i).
  now rewrite (sum_ext n (fun j => exp (z j)) (fun j => exp (w j))) by (intros; now rewrite H).
Qed.

(** softmax(z + d)_i = π_i·α_i. *)
Lemma softmax_moved : forall n z d i, (0 < n)%nat ->
  softmax n (fun j => z j + d j) i = after n (softmax n z) d i.
Proof.
  intros n z d i Hn. assert (P : 0 < sum n (fun j => exp (z j))).
  { apply (sum_pos n _ 0); auto; intros; try apply Rlt_le; apply exp_pos. }
  unfold after, growth, partition, mean, softmax.
  rewrite (sum_ext n (fun j => exp (z j) / _ * exp (d j))
             (fun j => exp (z j + d j) / sum n (fun j => exp (z j))))
    by (intros; rewrite exp_plus; unfold Rdiv; ring).
  rewrite sum_div, exp_plus.
  assert (Q : 0 < sum n (fun j => exp (z j + d j))).
  { apply (sum_pos n _ 0); auto; intros; try apply Rlt_le; apply exp_pos. }
  field. split; lra.
Qed.

(** Every distribution with full support is a softmax: that of its logarithms. *)
Lemma softmax_of_ln : forall n p i, distribution n p -> (i < n)%nat ->
  softmax n (fun j => ln (p j)) i = p i.
Proof.
  intros n p i [P S] Hi. unfold softmax.
  rewrite (sum_ext n _ p) by (intros; apply exp_ln; auto).
  rewrite S, exp_ln by auto. field.
Qed.
