(** The adaptation matrix A = I − 1πᵀ, the gradient of log-softmax (paper: §2, App. C).

    A·v = v − ⟨π, v⟩·1, A·1 = 0, πᵀA = 0, A² = A, its trace, its Frobenius norm with both bounds, its
    operator norm √V‖π‖ with the direction that attains it, and that diag(π)·A is the Jacobian of
    the softmax: symmetric, without a negative direction, and the true derivative. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus Softmax.
Open Scope R_scope.

(** A_ij = [i = j] − π_j. *)
Definition adaptation (p : nat -> R) (i j : nat) : R := ind i j - p j.

(** (A·v)_i. *)
Definition adapt (n : nat) (p v : nat -> R) (i : nat) : R := sum n (fun j => adaptation p i j * v j).

(** ‖v‖². *)
Definition norm_sq (n : nat) (v : nat -> R) : R := sum n (fun i => v i * v i).

Lemma mean_self : forall n p, mean n p p = norm_sq n p.
Proof. reflexivity. Qed.

Lemma norm_sq_nonneg : forall n v, 0 <= norm_sq n v.
Proof. intros. apply sum_nonneg. intros. apply Rle_0_sqr. Qed.

(** ‖v + c·1‖² and the like, expanded. *)
Lemma norm_sq_combination : forall n u v w a b c,
  norm_sq n (fun i => a * u i + b * v i + c * w i)
  = a * a * norm_sq n u + b * b * norm_sq n v + c * c * norm_sq n w
    + 2 * a * b * sum n (fun i => u i * v i) + 2 * a * c * sum n (fun i => u i * w i)
    + 2 * b * c * sum n (fun i => v i * w i).
Proof.
  intros. unfold norm_sq. rewrite <- !sum_scal, <- !sum_plus. apply sum_ext. intros. ring.
Qed.

Section Adaptation.
  Variables (n : nat) (p : nat -> R).
  Hypothesis Hp : distribution n p.

  (** A·v = v − ⟨π, v⟩·1: O(V), without the matrix. *)
  Lemma adapt_value : forall v i, (i < n)%nat -> adapt n p v i = v i - mean n p v.
  Proof.
    intros v i Hi. unfold adapt, adaptation.
    rewrite (sum_ext n _ (fun j => ind j i * v j - p j * v j))
      by (intros; rewrite (ind_sym i); ring).
    now rewrite sum_minus, sum_ind.
  Qed.

  (** Aᵀ·v = v − (Σv)·π. *)
  Lemma adapt_transposed : forall v j, (j < n)%nat ->
    sum n (fun i => v i * adaptation p i j) = v j - sum n v * p j.
  Proof.
    intros v j Hj. unfold adaptation.
    rewrite (sum_ext n _ (fun i => ind i j * v i - v i * p j)) by (intros; ring).
    now rewrite sum_minus, sum_ind, sum_scal_r.
  Qed.

  (** A·1 = 0. *)
  Lemma adapt_constant : forall c i, (i < n)%nat -> adapt n p (fun _ => c) i = 0.
  Proof. intros. rewrite adapt_value, (mean_const n p Hp) by assumption. ring. Qed.

  (** πᵀA = 0: the first-order change conserves probability. *)
  Lemma adapt_conserves : forall v, mean n p (adapt n p v) = 0.
  Proof.
    intro v. rewrite (mean_ext n p _ (fun i => v i - mean n p v)) by (intros; now apply adapt_value).
    rewrite (mean_minus n p v), (mean_const n p Hp). ring.
  Qed.

  (** A² = A. *)
  Lemma adapt_idempotent : forall v i, (i < n)%nat -> adapt n p (adapt n p v) i = adapt n p v i.
  Proof.
    intros v i Hi. rewrite (adapt_value (adapt n p v)), adapt_conserves by assumption. ring.
  Qed.

  (** tr A = V − 1. *)
  Lemma adapt_trace : sum n (fun i => adaptation p i i) = INR n - 1.
  Proof.
    unfold adaptation. rewrite (sum_ext n _ (fun i => 1 - p i)) by (intros; now rewrite ind_same).
    rewrite sum_minus, sum_const, (dist_sum n p Hp). ring.
  Qed.

  (** ‖A‖²_F = V − 2 + V‖π‖² (paper: eq. 27–31). *)
  Lemma frobenius :
    sum n (fun i => sum n (fun j => adaptation p i j * adaptation p i j))
    = INR n - 2 + INR n * norm_sq n p.
  Proof.
    rewrite (sum_ext n _ (fun i => 1 - 2 * p i + norm_sq n p)).
    - rewrite sum_plus, sum_minus, !sum_const, sum_scal, (dist_sum n p Hp). ring.
    - intros i Hi. unfold adaptation, norm_sq.
      rewrite (sum_ext n _ (fun j => ind j i * (ind j i - 2 * p j) + p j * p j))
        by (intros; rewrite (ind_sym i); ring).
      rewrite sum_plus, sum_ind, ind_same by assumption. ring.
  Qed.

  Lemma frobenius_lower : INR n - 1
    <= sum n (fun i => sum n (fun j => adaptation p i j * adaptation p i j)).
  Proof. rewrite frobenius. pose proof (norm_ge n p Hp) as H. rewrite mean_self in H. lra. Qed.

  Lemma frobenius_upper :
    sum n (fun i => sum n (fun j => adaptation p i j * adaptation p i j)) <= 2 * INR n - 2.
  Proof.
    rewrite frobenius.
    assert (norm_sq n p <= 1).
    { rewrite <- mean_self. apply (mean_le_max n p Hp). intros. now apply (dist_le_1 n p Hp). }
    assert (INR n * norm_sq n p <= INR n * 1) by (apply Rmult_le_compat_l; [apply pos_INR | assumption]).
    lra.
  Qed.

  (** ‖A·v‖², expanded. *)
  Lemma norm_adapt : forall v,
    norm_sq n (adapt n p v)
    = norm_sq n v - 2 * mean n p v * sum n v + INR n * (mean n p v * mean n p v).
  Proof.
    intro v. unfold norm_sq.
    rewrite (sum_ext n _ (fun i => v i * v i - 2 * mean n p v * v i + mean n p v * mean n p v))
      by (intros; rewrite adapt_value by assumption; ring).
    rewrite sum_plus, sum_minus, sum_scal, sum_const. ring.
  Qed.

  (** ‖A·v‖² ≤ V‖π‖²·‖v‖²: the part of v in the plane of 1 and π already accounts for it. *)
  Lemma operator_norm : forall v, norm_sq n (adapt n p v) <= INR n * norm_sq n p * norm_sq n v.
  Proof.
    intro v. rewrite norm_adapt. set (q := norm_sq n p). set (a := mean n p v). set (s := sum n v).
    set (w := norm_sq n v). set (N := INR n).
    assert (D : 1 <= N * q) by (unfold N, q; rewrite <- mean_self; exact (norm_ge n p Hp)).
    assert (Q : 0 <= q) by apply norm_sq_nonneg.
    destruct D as [D|D].
    - pose proof (norm_sq_nonneg n (fun i => (N * q - 1) * v i + (- (q * s - a)) * 1 + (- (N * a - s)) * p i)) as P.
      rewrite (norm_sq_combination n v (fun _ => 1) p) in P. fold w q in P.
      assert (norm_sq n (fun _ => 1) = N) as E1 by (unfold norm_sq; rewrite sum_const; unfold N; ring).
      assert (sum n (fun i => v i * 1) = s) as E2 by (rewrite sum_scal_r; unfold s; ring).
      assert (sum n (fun i => v i * p i) = a) as E3 by (apply sum_ext; intros; ring).
      assert (sum n (fun i => 1 * p i) = 1) as E4 by (rewrite sum_scal, (dist_sum n p Hp); ring).
      rewrite E1, E2, E3, E4 in P.
      assert (0 <= (N * q - 1) * ((N * q - 1) * w - (q * s * s - 2 * a * s + N * a * a))) as P' by nra.
      assert (0 <= (N * q - 1) * w - (q * s * s - 2 * a * s + N * a * a)) as P''.
      { apply (Rmult_le_reg_l (N * q - 1)); lra. }
      assert (0 <= q * (s * s)) by (apply Rmult_le_pos; [assumption | apply Rle_0_sqr]). nra.
    - (* π is uniform *)
      assert (E : forall i, (i < n)%nat -> N * p i = 1).
      { assert (Z : norm_sq n (fun i => N * p i + (- (1)) * 1 + 0 * 0) = 0).
        { rewrite (norm_sq_combination n p (fun _ => 1) (fun _ => 0)).
          unfold norm_sq at 2. rewrite !sum_const, !sum_scal_r, (dist_sum n p Hp). fold q N.
          replace (N * N * q) with (N * (N * q)) by ring. rewrite <- D. ring. }
        intros i Hi. assert (L : (N * p i - 1) * (N * p i - 1) <= 0).
        { rewrite <- Z. unfold norm_sq.
          pose proof (sum_ge_term n (fun i => (N * p i + (- (1)) * 1 + 0 * 0) * (N * p i + (- (1)) * 1 + 0 * 0)) i Hi) as G.
          cbv beta in G. replace (N * p i + - (1) * 1 + 0 * 0) with (N * p i - 1) in G at 1 2 by ring.
          apply G. intros. apply Rle_0_sqr. }
        nra. }
      assert (A : N * a = s).
      { unfold a, s, mean. rewrite <- sum_scal. apply sum_ext. intros i Hi.
        replace (N * (p i * v i)) with (N * p i * v i) by ring. rewrite E by assumption. ring. }
      rewrite <- D. replace (N * (a * a)) with (s * a) by (rewrite <- A; ring).
      assert (0 <= a * s); [|lra]. rewrite <- A. replace (a * (N * a)) with (N * (a * a)) by ring.
      apply Rmult_le_pos; [apply pos_INR | apply Rle_0_sqr].
  Qed.

  (** … attained at 1 − Vπ. *)
  Lemma operator_norm_attained :
    norm_sq n (adapt n p (fun i => 1 - INR n * p i))
    = INR n * norm_sq n p * norm_sq n (fun i => 1 - INR n * p i).
  Proof.
    rewrite norm_adapt. set (N := INR n). set (q := norm_sq n p).
    assert (M : mean n p (fun i => 1 - N * p i) = 1 - N * q).
    { rewrite (mean_minus n p (fun _ => 1)), (mean_const n p Hp), (mean_scal n p N p). reflexivity. }
    assert (S : sum n (fun i => 1 - N * p i) = 0).
    { rewrite sum_minus, sum_const, sum_scal, (dist_sum n p Hp). fold N. ring. }
    assert (W : norm_sq n (fun i => 1 - N * p i) = N * (N * q - 1)).
    { unfold norm_sq. rewrite (sum_ext n _ (fun i => 1 - 2 * N * p i + N * N * (p i * p i))) by (intros; ring).
      rewrite sum_plus, sum_minus, sum_const, !sum_scal, (dist_sum n p Hp).
      change (sum n (fun i => p i * p i)) with q. fold N. ring. }
    rewrite M, S, W. ring.
  Qed.

  (** Some direction attains it: 1 − Vπ, and e_0 − e_1 where π is uniform. *)
  Lemma operator_norm_reached : (2 <= n)%nat ->
    exists v, 0 < norm_sq n v /\ norm_sq n (adapt n p v) = INR n * norm_sq n p * norm_sq n v.
  Proof.
    intro H2. set (w := fun i => 1 - INR n * p i).
    destruct (norm_sq_nonneg n w) as [P|Z].
    - exists w. split; [exact P | exact operator_norm_attained].
    - assert (U : forall i, (i < n)%nat -> INR n * p i = 1).
      { intros i Hi. pose proof (sum_ge_term n (fun i => w i * w i) i Hi (fun j _ => Rle_0_sqr (w j))) as G.
        change (sum n (fun i => w i * w i)) with (norm_sq n w) in G. rewrite <- Z in G.
        unfold w in G. nra. }
      exists (fun i => ind i 0 - ind i 1).
      assert (S : forall f, sum n (fun i => f i * (ind i 0 - ind i 1)) = f 0%nat - f 1%nat).
      { intro f. rewrite (sum_ext n _ (fun i => ind i 0 * f i - ind i 1 * f i)) by (intros; ring).
        now rewrite sum_minus, !sum_ind by lia. }
      assert (Q : norm_sq n (fun i => ind i 0 - ind i 1) = 2).
      { unfold norm_sq. rewrite S. unfold ind. cbn. lra. }
      split; [lra|]. rewrite norm_adapt, Q. unfold mean. rewrite S.
      assert (N : INR n * norm_sq n p = 1).
      { unfold norm_sq. rewrite <- sum_scal, (sum_ext n _ p); [exact (dist_sum n p Hp)|].
        intros i Hi. rewrite <- Rmult_assoc, U by assumption. ring. }
      assert (0 < INR n) by (apply lt_0_INR; lia).
      assert (E : p 0%nat = p 1%nat) by (apply (Rmult_eq_reg_l (INR n)); [rewrite !U by lia; reflexivity | lra]).
      rewrite N, E. ring.
  Qed.

  (** ** The Jacobian of the softmax, diag(π)·A (paper: App. B.1; its diagonal is π_i(1 − π_i)) *)

  Lemma jacobian_diagonal : forall i, p i * adaptation p i i = p i * (1 - p i).
  Proof. intro i. unfold adaptation. now rewrite ind_same. Qed.

  Lemma jacobian_symmetric : forall i j, p i * adaptation p i j = p j * adaptation p j i.
  Proof.
    intros i j. unfold adaptation. rewrite (ind_sym j i).
    destruct (ind_cases i j) as [[E I]|[_ I]]; rewrite I; [subst; ring | ring].
  Qed.

  (** vᵀ·diag(π)·A·v is the variance of v. *)
  Lemma jacobian_nonnegative : forall v, 0 <= sum n (fun i => v i * (p i * adapt n p v i)).
  Proof.
    intro v. rewrite (sum_ext n _ (fun i => p i * (adapt n p v i * adapt n p v i)
                                            + mean n p v * (p i * adapt n p v i))).
    - rewrite sum_plus, sum_scal. change (sum n (fun i => p i * adapt n p v i)) with (mean n p (adapt n p v)).
      rewrite adapt_conserves.
      assert (0 <= sum n (fun i => p i * (adapt n p v i * adapt n p v i))); [|lra].
      apply sum_nonneg. intros i Hi.
      apply Rmult_le_pos; [apply Rlt_le; now apply (dist_pos n p Hp) | apply Rle_0_sqr].
    - intros i Hi. rewrite !adapt_value by assumption. ring.
  Qed.

  (** Z along the line s·d, and its derivative Σ π_j d_j e^{s d_j}. *)
  Lemma partition_derivative : forall d s,
    derivable_pt_lim (fun s => partition n p (fun j => s * d j)) s
      (mean n p (fun j => d j * exp (s * d j))).
  Proof.
    intros d s. unfold partition, mean.
    apply (dl_sum n (fun j s => p j * exp (s * d j)) (fun j => p j * (d j * exp (s * d j)))).
    intros j Hj. apply (dl_val _ _ (p j * (exp (s * d j) * (1 * d j + s * 0)))); [|ring].
    apply (dl_scal (p j) (fun s => exp (s * d j))).
    apply (dl_exp (fun s => s * d j)). apply (dl_mult (fun s => s) (fun _ => d j)); [apply dl_id | apply dl_const].
  Qed.

  (** d/ds log Z(s·d) is the average of d under the moved distribution. *)
  Lemma ln_partition_derivative : forall d s,
    derivable_pt_lim (fun s => ln (partition n p (fun j => s * d j))) s
      (mean n (after n p (fun j => s * d j)) d).
  Proof.
    intros d s. pose proof (partition_pos n p Hp (fun j => s * d j)) as P.
    apply (dl_val _ _ (mean n p (fun j => d j * exp (s * d j)) / partition n p (fun j => s * d j))).
    - apply (dl_ln (fun s => partition n p (fun j => s * d j))); [assumption | apply partition_derivative].
    - unfold mean at 1. rewrite <- sum_div. unfold mean. apply sum_ext. intros i Hi.
      unfold after, growth. field. lra.
  Qed.

  (** The derivative of every log-probability along d is A·d … *)
  Lemma log_softmax_derivative : forall d i, (i < n)%nat ->
    derivable_pt_lim (fun s => ln (after n p (fun j => s * d j) i)) 0 (adapt n p d i).
  Proof.
    intros d i Hi.
    apply (dl_ext (fun s => ln (p i) + s * d i - ln (partition n p (fun j => s * d j)))).
    { intro s. now rewrite (ln_after n p Hp) by assumption. }
    assert (Z : forall j, (j < n)%nat -> after n p (fun j => 0 * d j) j = p j).
    { intros j Hj. unfold after, growth, partition.
      rewrite (mean_ext n p _ (fun _ => 1)) by (intros; rewrite Rmult_0_l; apply exp_0).
      rewrite (mean_const n p Hp), Rmult_0_l, exp_0. field. }
    apply (dl_val _ _ (0 + (1 * d i + 0 * 0) - mean n (after n p (fun j => 0 * d j)) d)).
    - apply (dl_minus (fun s => ln (p i) + s * d i)); [|apply ln_partition_derivative].
      apply (dl_plus (fun _ => ln (p i)) (fun s => s * d i)); [apply dl_const|].
      apply (dl_mult (fun s => s) (fun _ => d i)); [apply dl_id | apply dl_const].
    - rewrite adapt_value by assumption. unfold mean.
      rewrite (sum_ext n (fun j => after n p (fun j => 0 * d j) j * d j) (fun j => p j * d j))
        by (intros; now rewrite Z). ring.
  Qed.

  (** … and that of every probability is diag(π)·A·d. *)
  Lemma softmax_derivative : forall d i, (i < n)%nat ->
    derivable_pt_lim (fun s => after n p (fun j => s * d j) i) 0 (p i * adapt n p d i).
  Proof.
    intros d i Hi.
    apply (dl_ext (fun s => exp (ln (after n p (fun j => s * d j) i)))).
    { intro s. apply exp_ln. now apply (dist_pos _ _ (after_distribution n p Hp _)). }
    apply (dl_val _ _ (exp (ln (after n p (fun j => 0 * d j) i)) * adapt n p d i)).
    - apply (dl_exp (fun s => ln (after n p (fun j => s * d j) i))). now apply log_softmax_derivative.
    - rewrite exp_ln by (now apply (dist_pos _ _ (after_distribution n p Hp _))).
      unfold after, growth, partition.
      rewrite (mean_ext n p _ (fun _ => 1)) by (intros; rewrite Rmult_0_l; apply exp_0).
      rewrite (mean_const n p Hp), Rmult_0_l, exp_0. field.
  Qed.
End Adaptation.
