(** Finite sums over the labels 0, …, n − 1 and weighted averages.

    Labels are natural numbers below [n]; a vector is a function [nat -> R], of which only the
    values below [n] matter. Everything else in this theory rests on this file: linearity, order,
    the sifting property of a one-hot vector, averages, and Chebyshev's sum inequality. *)

From Coq Require Import Reals Lra Lia Arith.
Open Scope R_scope.

(** f_0 + … + f_{n−1}. *)
Fixpoint sum (n : nat) (f : nat -> R) : R :=
  match n with
  | O => 0
  | S m => sum m f + f m
  end.

(** [i = j], as 0 or 1: the one-hot vector e_j at i. *)
Definition ind (i j : nat) : R := if Nat.eqb i j then 1 else 0.

(** The average of f under the weights p. *)
Definition mean (n : nat) (p f : nat -> R) : R := sum n (fun j => p j * f j).

(** A probability vector with full support: the softmax of finite logits. *)
Definition distribution (n : nat) (p : nat -> R) : Prop :=
  (forall i, (i < n)%nat -> 0 < p i) /\ sum n p = 1.

(** ** One-hot vectors *)

Lemma ind_same : forall i, ind i i = 1.
Proof. intro i. unfold ind. now rewrite Nat.eqb_refl. Qed.

Lemma ind_other : forall i j, i <> j -> ind i j = 0.
Proof. intros i j H. unfold ind. now apply Nat.eqb_neq in H; rewrite H. Qed.

Lemma ind_cases : forall i j, i = j /\ ind i j = 1 \/ i <> j /\ ind i j = 0.
Proof.
  intros i j. destruct (Nat.eq_dec i j) as [E|N].
  - left. subst. now rewrite ind_same.
  - right. now rewrite ind_other.
Qed.

Lemma ind_sym : forall i j, ind i j = ind j i.
Proof. intros. unfold ind. now rewrite Nat.eqb_sym. Qed.

(** ** Linearity *)

Lemma sum_ext : forall n f g, (forall i, (i < n)%nat -> f i = g i) -> sum n f = sum n g.
Proof.
  induction n; intros f g H; cbn [sum]; [reflexivity|].
  rewrite (IHn f g), (H n) by (auto with arith). reflexivity.
Qed.

Lemma sum_plus : forall n f g, sum n (fun i => f i + g i) = sum n f + sum n g.
Proof. induction n; intros; cbn [sum]; [lra|]. rewrite IHn. lra. Qed.

Lemma sum_minus : forall n f g, sum n (fun i => f i - g i) = sum n f - sum n g.
Proof. induction n; intros; cbn [sum]; [lra|]. rewrite IHn. lra. Qed.

Lemma sum_scal : forall n c f, sum n (fun i => c * f i) = c * sum n f.
Proof. induction n; intros; cbn [sum]; [lra|]. rewrite IHn. lra. Qed.

Lemma sum_scal_r : forall n c f, sum n (fun i => f i * c) = sum n f * c.
Proof. induction n; intros; cbn [sum]; [lra|]. rewrite IHn. lra. Qed.

Lemma sum_div : forall n c f, sum n (fun i => f i / c) = sum n f / c.
Proof. intros. unfold Rdiv. apply sum_scal_r. Qed.

Lemma sum_const : forall n c, sum n (fun _ => c) = INR n * c.
Proof. induction n; intros; cbn [sum]; [simpl; lra|]. rewrite IHn, S_INR. lra. Qed.

Lemma sum_zero : forall n f, (forall i, (i < n)%nat -> f i = 0) -> sum n f = 0.
Proof.
  intros n f H. rewrite (sum_ext n f (fun _ => 0)) by assumption. rewrite sum_const. lra.
Qed.

(** Sifting: Σ_j [j = k] f_j = f_k. *)
Lemma sum_ind : forall n k f, (k < n)%nat -> sum n (fun j => ind j k * f j) = f k.
Proof.
  induction n; intros k f H; [lia|]. cbn [sum].
  destruct (Nat.eq_dec k n) as [E|N].
  - subst. rewrite ind_same, sum_zero; [lra|]. intros i Hi. rewrite ind_other by lia. lra.
  - rewrite IHn, (ind_other n k) by lia. lra.
Qed.

(** A change of one term at k. *)
Lemma sum_split : forall n k f, (k < n)%nat ->
  sum n f = f k + sum n (fun j => (1 - ind j k) * f j).
Proof.
  intros n k f H. rewrite <- (sum_ind n k f H) at 1. rewrite <- sum_plus.
  apply sum_ext. intros. lra.
Qed.

(** The order of summation. *)
Lemma sum_swap : forall n m (f : nat -> nat -> R),
  sum n (fun i => sum m (fun j => f i j)) = sum m (fun j => sum n (fun i => f i j)).
Proof.
  induction n; intros m f; cbn [sum]; [symmetry; now apply sum_zero|].
  now rewrite IHn, <- sum_plus.
Qed.

(** A sum in two parts, … *)
Lemma sum_app : forall a b f, sum (a + b) f = sum a f + sum b (fun j => f (a + j)%nat).
Proof.
  intros a b f. induction b; [rewrite Nat.add_0_r; cbn [sum]; lra|].
  rewrite Nat.add_succ_r. cbn [sum]. rewrite IHb. lra.
Qed.

(** … around one term, … *)
Lemma sum_around : forall n c f, (c < n)%nat ->
  sum n f = sum c f + f c + sum (n - S c) (fun u => f (S c + u)%nat).
Proof. intros n c f H. now rewrite <- (Nat.sub_add (S c) n), Nat.add_comm, sum_app, Nat.add_comm, Nat.add_sub by lia. Qed.

(** … and in n rows of m. *)
Lemma sum_rows : forall n m f, sum (n * m) f = sum n (fun i => sum m (fun j => f (i * m + j)%nat)).
Proof.
  intros n m f. induction n; [reflexivity|]. cbn [sum]. now rewrite <- IHn, <- sum_app, Nat.add_comm.
Qed.

(** ** Order *)

Lemma sum_le : forall n f g, (forall i, (i < n)%nat -> f i <= g i) -> sum n f <= sum n g.
Proof.
  induction n; intros f g H; cbn [sum]; [lra|].
  apply Rplus_le_compat; [apply IHn; auto with arith | apply H; lia].
Qed.

Lemma sum_lt : forall n f g k, (k < n)%nat ->
  (forall i, (i < n)%nat -> f i <= g i) -> f k < g k -> sum n f < sum n g.
Proof.
  induction n; intros f g k Hk H Hlt; [lia|]. cbn [sum].
  destruct (Nat.eq_dec k n) as [E|N].
  - subst. apply Rplus_le_lt_compat; [apply sum_le; auto with arith | assumption].
  - apply Rplus_lt_le_compat; [apply (IHn f g k); auto with arith; lia | apply H; lia].
Qed.

Lemma sum_nonneg : forall n f, (forall i, (i < n)%nat -> 0 <= f i) -> 0 <= sum n f.
Proof.
  intros n f H. rewrite <- (sum_zero n (fun _ => 0)) by auto. now apply sum_le.
Qed.

Lemma sum_pos : forall n f k, (k < n)%nat ->
  (forall i, (i < n)%nat -> 0 <= f i) -> 0 < f k -> 0 < sum n f.
Proof.
  intros n f k Hk H Hlt. rewrite <- (sum_zero n (fun _ => 0)) by auto. now apply (sum_lt n _ f k).
Qed.

(** A sum of nonnegative terms is at least any one of them. *)
Lemma sum_ge_term : forall n f k, (k < n)%nat ->
  (forall i, (i < n)%nat -> 0 <= f i) -> f k <= sum n f.
Proof.
  intros n f k Hk H. rewrite (sum_split n k f Hk).
  assert (0 <= sum n (fun j => (1 - ind j k) * f j)); [|lra].
  apply sum_nonneg. intros i Hi. destruct (ind_cases i k) as [[_ E]|[_ E]]; rewrite E;
    specialize (H i Hi); lra.
Qed.

(** … and at least any two. *)
Lemma sum_ge_two : forall n f k l, (k < n)%nat -> (l < n)%nat -> k <> l ->
  (forall i, (i < n)%nat -> 0 <= f i) -> f k + f l <= sum n f.
Proof.
  intros n f k l Hk Hl D H. rewrite (sum_split n k f Hk).
  pose proof (sum_ge_term n (fun j => (1 - ind j k) * f j) l Hl) as G. cbv beta in G.
  rewrite (ind_other l k) in G by auto.
  enough ((1 - 0) * f l <= sum n (fun j => (1 - ind j k) * f j)) by lra.
  apply G. intros i Hi. destruct (ind_cases i k) as [[_ E]|[_ E]]; rewrite E; specialize (H i Hi); lra.
Qed.

(** … and at least any three. *)
Lemma sum_ge_three : forall n f k l m, (k < n)%nat -> (l < n)%nat -> (m < n)%nat ->
  k <> l -> k <> m -> l <> m ->
  (forall i, (i < n)%nat -> 0 <= f i) -> f k + f l + f m <= sum n f.
Proof.
  intros n f k l m Hk Hl Hm A B C H. rewrite (sum_split n k f Hk).
  pose proof (sum_ge_two n (fun j => (1 - ind j k) * f j) l m Hl Hm C) as G. cbv beta in G.
  rewrite (ind_other l k), (ind_other m k) in G by auto.
  enough ((1 - 0) * f l + (1 - 0) * f m <= sum n (fun j => (1 - ind j k) * f j)) by lra.
  apply G. intros i Hi. destruct (ind_cases i k) as [[_ E]|[_ E]]; rewrite E; specialize (H i Hi); lra.
Qed.

(** ** Chebyshev's sum inequality *)

(** The covariance is half the sum over all pairs. *)
Lemma covariance_by_pairs : forall n w f g,
  sum n (fun i => sum n (fun j => w i * w j * ((f i - f j) * (g i - g j))))
  = 2 * (sum n w * sum n (fun i => w i * (f i * g i))
         - sum n (fun i => w i * f i) * sum n (fun i => w i * g i)).
Proof.
  intros n w f g.
  rewrite (sum_ext n _ (fun i => w i * (f i * g i) * sum n w - (w i * f i) * sum n (fun j => w j * g j)
                                 - (w i * g i) * sum n (fun j => w j * f j)
                                 + w i * sum n (fun j => w j * (f j * g j)))).
  - rewrite sum_plus, !sum_minus, !sum_scal_r. ring.
  - intros i Hi.
    rewrite (sum_ext n _ (fun j => w i * (f i * g i) * w j - w i * f i * (w j * g j)
                                   - w i * g i * (w j * f j) + w i * (w j * (f j * g j))))
      by (intros; ring).
    now rewrite sum_plus, !sum_minus, !sum_scal.
Qed.

(** Where the weights are positive, f and g move together: their covariance is not negative. *)
Lemma chebyshev_weights : forall n w f g, (forall i, (i < n)%nat -> 0 <= w i) ->
  (forall i j, (i < n)%nat -> (j < n)%nat -> 0 < w i -> 0 < w j -> 0 <= (f i - f j) * (g i - g j)) ->
  sum n (fun i => w i * f i) * sum n (fun i => w i * g i) <= sum n w * sum n (fun i => w i * (f i * g i)).
Proof.
  intros n w f g W H. pose proof (covariance_by_pairs n w f g) as C.
  assert (0 <= sum n (fun i => sum n (fun j => w i * w j * ((f i - f j) * (g i - g j))))); [|lra].
  apply sum_nonneg. intros i Hi. apply sum_nonneg. intros j Hj.
  destruct (W i Hi) as [Wi|Wi]; [|rewrite <- Wi; lra].
  destruct (W j Hj) as [Wj|Wj]; [|rewrite <- Wj; lra].
  apply Rmult_le_pos; [apply Rlt_le; now apply Rmult_lt_0_compat | auto].
Qed.

(** ** Averages *)

Section Mean.
  Variables (n : nat) (p : nat -> R).
  Hypothesis Hp : distribution n p.

  Lemma dist_pos : forall i, (i < n)%nat -> 0 < p i.
  Proof. exact (proj1 Hp). Qed.

  Lemma dist_sum : sum n p = 1.
  Proof. exact (proj2 Hp). Qed.

  Lemma dist_nonempty : (0 < n)%nat.
  Proof.
    destruct (Nat.eq_dec n 0) as [E|N]; [|lia].
    pose proof dist_sum as S. rewrite E in S. simpl in S. lra.
  Qed.

  Lemma dist_le_1 : forall i, (i < n)%nat -> p i <= 1.
  Proof.
    intros i Hi. rewrite <- dist_sum. apply sum_ge_term; [assumption|].
    intros j Hj. apply Rlt_le. now apply dist_pos.
  Qed.

  Lemma dist_two : forall i j, (i < n)%nat -> (j < n)%nat -> i <> j -> p i + p j <= 1.
  Proof.
    intros i j Hi Hj D. rewrite <- dist_sum. apply sum_ge_two; try assumption.
    intros k Hk. apply Rlt_le. now apply dist_pos.
  Qed.

  Lemma dist_lt_1 : forall i j, (i < n)%nat -> (j < n)%nat -> i <> j -> p i < 1.
  Proof.
    intros i j Hi Hj D. pose proof (dist_two i j Hi Hj D). pose proof (dist_pos j Hj). lra.
  Qed.

  Lemma mean_ext : forall f g, (forall i, (i < n)%nat -> f i = g i) -> mean n p f = mean n p g.
  Proof. intros f g H. apply sum_ext. intros i Hi. now rewrite H. Qed.

  Lemma mean_const : forall c, mean n p (fun _ => c) = c.
  Proof. intro c. unfold mean. rewrite sum_scal_r, dist_sum. lra. Qed.

  Lemma mean_plus : forall f g, mean n p (fun i => f i + g i) = mean n p f + mean n p g.
  Proof. intros. unfold mean. rewrite <- sum_plus. apply sum_ext. intros. lra. Qed.

  Lemma mean_minus : forall f g, mean n p (fun i => f i - g i) = mean n p f - mean n p g.
  Proof. intros. unfold mean. rewrite <- sum_minus. apply sum_ext. intros. lra. Qed.

  Lemma mean_scal : forall c f, mean n p (fun i => c * f i) = c * mean n p f.
  Proof. intros. unfold mean. rewrite <- sum_scal. apply sum_ext. intros. lra. Qed.

  Lemma mean_ind : forall k, (k < n)%nat -> mean n p (fun i => ind i k) = p k.
  Proof.
    intros k Hk. unfold mean. rewrite <- (sum_ind n k p Hk). apply sum_ext. intros. lra.
  Qed.

  Lemma mean_ind_mult : forall k f, (k < n)%nat -> mean n p (fun i => ind i k * f i) = p k * f k.
  Proof.
    intros k f Hk. unfold mean. rewrite <- (sum_ind n k (fun i => p i * f i) Hk).
    apply sum_ext. intros. lra.
  Qed.

  Lemma mean_le : forall f g, (forall i, (i < n)%nat -> f i <= g i) -> mean n p f <= mean n p g.
  Proof.
    intros f g H. apply sum_le. intros i Hi. apply Rmult_le_compat_l; [|auto].
    apply Rlt_le. now apply dist_pos.
  Qed.

  Lemma mean_lt : forall f g k, (k < n)%nat ->
    (forall i, (i < n)%nat -> f i <= g i) -> f k < g k -> mean n p f < mean n p g.
  Proof.
    intros f g k Hk H L. apply (sum_lt n _ _ k); [assumption| |].
    - intros i Hi. apply Rmult_le_compat_l; [|auto]. apply Rlt_le. now apply dist_pos.
    - apply Rmult_lt_compat_l; [now apply dist_pos | assumption].
  Qed.

  (** An average lies below its maximum, strictly if one term does. *)
  Lemma mean_le_max : forall f m, (forall i, (i < n)%nat -> f i <= m) -> mean n p f <= m.
  Proof. intros f m H. rewrite <- (mean_const m). now apply mean_le. Qed.

  Lemma mean_lt_max : forall f m k, (k < n)%nat ->
    (forall i, (i < n)%nat -> f i <= m) -> f k < m -> mean n p f < m.
  Proof. intros f m k Hk H L. rewrite <- (mean_const m). now apply (mean_lt f _ k). Qed.

  Lemma mean_ge_min : forall f m, (forall i, (i < n)%nat -> m <= f i) -> m <= mean n p f.
  Proof. intros f m H. rewrite <- (mean_const m). now apply mean_le. Qed.

  Lemma mean_gt_min : forall f m k, (k < n)%nat ->
    (forall i, (i < n)%nat -> m <= f i) -> m < f k -> m < mean n p f.
  Proof. intros f m k Hk H L. rewrite <- (mean_const m). now apply (mean_lt _ f k). Qed.

  (** The average of a positive function is positive, and at least each term. *)
  Lemma mean_pos : forall f, (forall i, (i < n)%nat -> 0 < f i) -> 0 < mean n p f.
  Proof.
    intros f H. pose proof dist_nonempty as N. apply (mean_gt_min f 0 0); auto.
    intros i Hi. apply Rlt_le. auto.
  Qed.

  Lemma mean_ge_term : forall f k, (k < n)%nat ->
    (forall i, (i < n)%nat -> 0 <= f i) -> p k * f k <= mean n p f.
  Proof.
    intros f k Hk H. unfold mean. apply (sum_ge_term n (fun j => p j * f j) k Hk).
    intros i Hi. apply Rmult_le_pos; [apply Rlt_le; now apply dist_pos | auto].
  Qed.

  (** Two functions that move together are positively correlated. *)

  Lemma chebyshev : forall f g,
    (forall i j, (i < n)%nat -> (j < n)%nat -> 0 <= (f i - f j) * (g i - g j)) ->
    mean n p f * mean n p g <= mean n p (fun i => f i * g i).
  Proof.
    intros f g H. pose proof (chebyshev_weights n p f g) as C. rewrite dist_sum in C.
    unfold mean. rewrite <- (Rmult_1_l (sum n (fun j => p j * (f j * g j)))). apply C; auto.
    intros i Hi. apply Rlt_le. now apply dist_pos.
  Qed.

  Lemma chebyshev_strict : forall f g k l, (k < n)%nat -> (l < n)%nat ->
    (forall i j, (i < n)%nat -> (j < n)%nat -> 0 <= (f i - f j) * (g i - g j)) ->
    0 < (f k - f l) * (g k - g l) ->
    mean n p f * mean n p g < mean n p (fun i => f i * g i).
  Proof.
    intros f g k l Hk Hl H L. pose proof (covariance_by_pairs n p f g) as C. rewrite dist_sum in C.
    unfold mean.
    assert (0 < sum n (fun i => sum n (fun j => p i * p j * ((f i - f j) * (g i - g j))))); [|lra].
    assert (P : forall i j, (i < n)%nat -> (j < n)%nat -> 0 <= p i * p j * ((f i - f j) * (g i - g j))).
    { intros i j Hi Hj.
      apply Rmult_le_pos; [apply Rmult_le_pos; apply Rlt_le; now apply dist_pos | auto]. }
    apply (sum_pos n _ k); [assumption| |].
    - intros i Hi. apply sum_nonneg. auto.
    - apply (sum_pos n _ l); [assumption|auto|].
      apply Rmult_lt_0_compat; [|assumption]. apply Rmult_lt_0_compat; now apply dist_pos.
  Qed.

  Lemma norm_ge : 1 <= INR n * mean n p p.
  Proof.
    assert (P : 0 < INR n) by (apply lt_0_INR; exact dist_nonempty).
    assert (0 <= sum n (fun i => (INR n * p i - 1) * (INR n * p i - 1))) as Q.
    { apply sum_nonneg. intros. apply Rle_0_sqr. }
    rewrite (sum_ext n _ (fun i => INR n * INR n * (p i * p i) - 2 * INR n * p i + 1)) in Q
      by (intros; ring).
    rewrite sum_plus, sum_minus, !sum_scal, sum_const, dist_sum in Q.
    fold (mean n p p) in Q. unfold mean. unfold mean in Q.
    apply (Rmult_le_reg_l (INR n)); [assumption|]. lra.
  Qed.
End Mean.

(** Among finitely many labels other than y, if there are any, one has the largest value. *)
Lemma best_other_exists : forall n y (f : nat -> R), (exists i, (i < n)%nat /\ i <> y) ->
  exists t, (t < n)%nat /\ t <> y /\ forall i, (i < n)%nat -> i <> y -> f i <= f t.
Proof.
  intros n y f H.
  enough (C : (exists t, (t < n)%nat /\ t <> y /\ forall i, (i < n)%nat -> i <> y -> f i <= f t)
              \/ forall i, (i < n)%nat -> i = y).
  { destruct C as [C|C]; [assumption|]. destruct H as [i [Hi D]]. now elim D; apply C. }
  clear H. induction n; [right; intros; lia|].
  destruct (Nat.eq_dec n y) as [E|N].
  - destruct IHn as [[t [Ht [D B]]]|A].
    + left. exists t. repeat split; [lia|assumption|]. intros i Hi Di. apply B; lia.
    + right. intros i Hi. destruct (Nat.eq_dec i n); [lia | apply A; lia].
  - left. destruct IHn as [[t [Ht [D B]]]|A].
    + destruct (Rle_dec (f n) (f t)) as [L|L].
      * exists t. repeat split; [lia|assumption|]. intros i Hi Di.
        destruct (Nat.eq_dec i n); [subst; assumption | apply B; lia].
      * exists n. repeat split; [lia|assumption|]. intros i Hi Di.
        destruct (Nat.eq_dec i n); [subst; lra|]. apply Rle_trans with (f t); [apply B; lia | lra].
    + exists n. repeat split; [lia|assumption|]. intros i Hi Di.
      destruct (Nat.eq_dec i n); [subst; lra|]. elim Di. apply A. lia.
Qed.
