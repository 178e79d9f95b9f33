(** Drift and entropy of a negative step (paper: §3.3; N10 and N11), and two exact statements that
    go further: if y is at least as surprising as the average label, −log π_y ≥ H(π), one negative
    step on y lowers the entropy, however long the step; in particular whenever π_y ≤ 1/V. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder NegativeStep.
Open Scope R_scope.

(** H(π) = −Σ π_i log π_i. *)
Definition entropy (n : nat) (p : nat -> R) : R := - mean n p (fun i => ln (p i)).

(** H ≤ log V. *)
Lemma entropy_le_ln : forall n p, distribution n p -> entropy n p <= ln (INR n).
Proof.
  intros n p Hp. pose proof (dist_nonempty n p Hp) as N. assert (P : 0 < INR n) by (now apply lt_0_INR).
  pose proof (uniform_distribution n N) as U.
  pose proof (KL_nonneg n p (uniform n) Hp U) as K. unfold KL in K.
  rewrite (mean_ext n p _ (fun i => ln (p i) + ln (INR n))) in K.
  - rewrite (mean_plus n p (fun i => ln (p i))), (mean_const n p Hp) in K. unfold entropy. lra.
  - intros i Hi. pose proof (dist_pos n p Hp i Hi).
    rewrite <- ln_mult by assumption. f_equal. unfold uniform. field. lra.
Qed.

Section Step.
  Variables (n : nat) (p : nat -> R) (y t : nat).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Ht : runner_up n p y t.

  (** log moves with its argument. *)
  Lemma ln_comonotone : forall a b, 0 < a -> 0 < b -> 0 <= (a - b) * (ln a - ln b).
  Proof.
    intros a b Ha Hb. destruct (Rle_or_lt a b) as [L|G].
    - pose proof (ln_le a b Ha L). nra.
    - pose proof (ln_increasing b a Hb G). nra.
  Qed.

  Lemma ln_comonotone_strict : forall a b, 0 < a -> 0 < b -> a <> b -> 0 < (a - b) * (ln a - ln b).
  Proof.
    intros a b Ha Hb N. destruct (Rtotal_order a b) as [L|[E|G]]; [|contradiction|].
    - pose proof (ln_increasing a b Ha L). nra.
    - pose proof (ln_increasing b a Hb G). nra.
  Qed.

  (** N10: dπ_i/ds = π_i(π_i − ‖π‖² + π_y) for i ≠ y: up to π_i·π_y a replicator drift that does not
      know y. *)
  Lemma drift : forall i, (i < n)%nat -> i <> y ->
    derivable_pt_lim (fun s => after_negative n p y s i) 0 (p i * (p i - norm_sq n p + p y)).
  Proof.
    intros i Hi N.
    apply (dl_ext (fun s => after n p (fun j => s * (p j - ind j y)) i)); [reflexivity|].
    apply (dl_val _ _ (p i * adapt n p (fun j => p j - ind j y) i)).
    - now apply softmax_derivative.
    - rewrite (adapt_value n p) by assumption.
      rewrite mean_minus, (mean_ind n p y Hy), ind_other, mean_self by assumption. ring.
  Qed.

  (** y itself falls at rate π_y(1 − π_y + ‖π‖² − π_y). *)
  Lemma label_drift :
    derivable_pt_lim (fun s => after_negative n p y s y) 0 (- (p y * (1 - 2 * p y + norm_sq n p))).
  Proof.
    apply (dl_ext (fun s => after n p (fun j => s * (p j - ind j y)) y)); [reflexivity|].
    apply (dl_val _ _ (p y * adapt n p (fun j => p j - ind j y) y)).
    - now apply softmax_derivative.
    - rewrite (adapt_value n p) by assumption.
      rewrite mean_minus, (mean_ind n p y Hy), ind_same, mean_self. ring.
  Qed.

  (** The residual of a negative step does not vanish: ‖π − e_y‖² = 1 − 2π_y + ‖π‖². *)
  Lemma residual_norm : norm_sq n (fun i => p i - ind i y) = 1 - 2 * p y + norm_sq n p.
  Proof.
    unfold norm_sq.
    rewrite (sum_ext n _ (fun i => p i * p i - 2 * (ind i y * p i) + ind i y * ind i y)) by (intros; ring).
    rewrite sum_plus, sum_minus, sum_scal, sum_ind, (sum_ind n y (fun i => ind i y)), ind_same by assumption.
    ring.
  Qed.

  (** The drift π_i(v_i − ⟨π, v⟩) is within π_y of the replicator's π_i(π_i − ‖π‖²). *)
  Lemma drift_near_replicator : forall i, (i < n)%nat ->
    Rabs (p i * (p i - ind i y - mean n p (fun j => p j - ind j y)) - p i * (p i - norm_sq n p)) <= p y.
  Proof.
    intros i Hi. rewrite mean_minus, (mean_ind n p y Hy), mean_self.
    pose proof (dist_pos n p Hp i Hi). pose proof (dist_le_1 n p Hp i Hi). pose proof (dist_pos n p Hp y Hy).
    apply Rabs_le. destruct (ind_cases i y) as [[E I]|[_ I]]; rewrite I; [subst i; nra | nra].
  Qed.

  (** H(π′) − H(π), label by label. *)
  Lemma entropy_change : forall d,
    entropy n (after n p d) - entropy n p
    = - sum n (fun i => p i * ((growth n p d i - 1) * ln (p i) + growth n p d i * ln (growth n p d i))).
  Proof.
    intro d. unfold entropy, mean.
    rewrite (sum_ext n (fun i => p i * (_ + _)) (fun i => after n p d i * ln (after n p d i) - p i * ln (p i))).
    - rewrite sum_minus. ring.
    - intros i Hi. unfold after. rewrite ln_mult; [ring | now apply (dist_pos n p Hp) | now apply growth_pos].
  Qed.

  (** H(π′) along any d: log Z − E_{π′}(log π + d). *)
  Lemma entropy_after : forall d,
    entropy n (after n p d)
    = ln (partition n p d) - mean n (after n p d) (fun i => ln (p i) + d i).
  Proof.
    intro d. pose proof (after_distribution n p Hp d) as A. unfold entropy.
    rewrite (mean_ext n (after n p d) _ (fun i => (ln (p i) + d i) - ln (partition n p d))).
    - rewrite (mean_minus n (after n p d) (fun i => ln (p i) + d i)), (mean_const n _ A). ring.
    - intros i Hi. rewrite (ln_after n p Hp) by assumption. ring.
  Qed.

  Lemma after_0 : forall d i, after n p (fun j => 0 * d j) i = p i.
  Proof.
    intros d i. unfold after, growth, partition.
    rewrite (mean_ext n p _ (fun _ => 1)) by (intros; rewrite Rmult_0_l; apply exp_0).
    rewrite (mean_const n p Hp), Rmult_0_l, exp_0. field.
  Qed.

  (** N11: dH/ds = −Cov_π(log π, π) + π_y(log π_y + H). *)
  Lemma entropy_derivative :
    derivable_pt_lim (fun s => entropy n (after_negative n p y s)) 0
      (- (mean n p (fun i => ln (p i) * p i) - mean n p (fun i => ln (p i)) * norm_sq n p)
       + p y * (ln (p y) + entropy n p)).
  Proof.
    set (v := fun i => p i - ind i y).
    apply (dl_ext (fun s => ln (partition n p (fun j => s * v j))
      - sum n (fun i => after n p (fun j => s * v j) i * (ln (p i) + s * v i)))).
    { intro s. symmetry. exact (entropy_after (fun j => s * v j)). }
    apply (dl_val _ _ (mean n (after n p (fun j => 0 * v j)) v
      - sum n (fun i => p i * adapt n p v i * (ln (p i) + 0 * v i)
                        + after n p (fun j => 0 * v j) i * (0 + (1 * v i + 0 * 0))))).
    - apply (dl_minus (fun s => ln (partition n p (fun j => s * v j)))); [now apply ln_partition_derivative|].
      apply (dl_sum n (fun i s => after n p (fun j => s * v j) i * (ln (p i) + s * v i))).
      intros i Hi.
      apply (dl_mult (fun s => after n p (fun j => s * v j) i) (fun s => ln (p i) + s * v i)).
      + now apply softmax_derivative.
      + apply (dl_plus (fun _ => ln (p i)) (fun s => s * v i)); [apply dl_const|].
        apply (dl_mult (fun s => s) (fun _ => v i)); [apply dl_id | apply dl_const].
    - unfold mean at 1.
      rewrite (sum_ext n (fun j => after n p (fun k => 0 * v k) j * v j) (fun j => p j * v j))
        by (intros; now rewrite after_0).
      rewrite (sum_ext n (fun i => p i * adapt n p v i * (ln (p i) + 0 * v i) + _)
                         (fun i => p i * (ln (p i) * p i) - ind i y * (p i * ln (p i))
                                     - mean n p v * (p i * ln (p i)) + p i * v i)).
      + rewrite sum_plus, !sum_minus, sum_ind, sum_scal by assumption.
        assert (M : mean n p v = norm_sq n p - p y)
          by (unfold v; now rewrite mean_minus, (mean_ind n p y Hy)).
        change (sum n (fun i => p i * v i)) with (mean n p v).
        rewrite M. unfold entropy, mean. ring.
      + intros i Hi. rewrite after_0, (adapt_value n p) by assumption.
        assert (V : v i = p i - ind i y) by reflexivity. rewrite !V. ring.
  Qed.

  (** Cov_π(log π, π) > 0 unless π is uniform. *)
  Lemma log_covariance_pos : forall k l, (k < n)%nat -> (l < n)%nat -> p k <> p l ->
    0 < mean n p (fun i => ln (p i) * p i) - mean n p (fun i => ln (p i)) * norm_sq n p.
  Proof.
    intros k l Hk Hl N. rewrite <- mean_self. pose proof (dist_pos n p Hp) as P.
    pose proof (chebyshev_strict n p Hp (fun i => ln (p i)) p k l Hk Hl) as C. cbv beta in C.
    enough (mean n p (fun i => ln (p i)) * mean n p p < mean n p (fun i => ln (p i) * p i)) by lra.
    apply C.
    - intros i j Hi Hj. rewrite Rmult_comm. apply ln_comonotone; auto.
    - rewrite Rmult_comm. apply ln_comonotone_strict; auto.
  Qed.

  (** If −log π_y ≥ H the entropy falls at first order, unless π is uniform. *)
  Lemma entropy_derivative_negative : forall k l, (k < n)%nat -> (l < n)%nat -> p k <> p l ->
    entropy n p <= - ln (p y) ->
    - (mean n p (fun i => ln (p i) * p i) - mean n p (fun i => ln (p i)) * norm_sq n p)
       + p y * (ln (p y) + entropy n p) < 0.
  Proof.
    intros k l Hk Hl N H. pose proof (log_covariance_pos k l Hk Hl N) as C.
    pose proof (dist_pos n p Hp y Hy). nra.
  Qed.

  (** … and for any π it does not rise. *)
  Lemma entropy_derivative_nonpositive : entropy n p <= - ln (p y) ->
    - (mean n p (fun i => ln (p i) * p i) - mean n p (fun i => ln (p i)) * norm_sq n p)
       + p y * (ln (p y) + entropy n p) <= 0.
  Proof.
    intro H. pose proof (dist_pos n p Hp) as P.
    pose proof (chebyshev n p Hp (fun i => ln (p i)) p) as C. cbv beta in C. rewrite mean_self in C.
    enough (mean n p (fun i => ln (p i)) * norm_sq n p <= mean n p (fun i => ln (p i) * p i))
      by (specialize (P y Hy); nra).
    apply C. intros i j Hi Hj. rewrite Rmult_comm. apply ln_comonotone; auto.
  Qed.

  (** Beyond first order: if −log π_y ≥ H, the entropy falls for every step size.
      H(π′) = H(π) − E_π[(α − 1)·log π] − KL(π′ ‖ π); α is increasing in π except at y, where it is
      smaller still, so its covariance with log π is not negative. *)
  Lemma entropy_falls : forall s, 0 < s -> entropy n p <= - ln (p y) ->
    entropy n (after_negative n p y s) < entropy n p.
  Proof.
    intros s Hs H. set (d := negative p y s). pose proof (dist_pos n p Hp) as P.
    pose proof (partition_pos n p Hp d) as Z0. set (Z := partition n p d) in *.
    pose proof (after_distribution n p Hp d) as A.
    (* Gibbs between π′ and π *)
    pose proof (label_falls n p y t s Hp Hy Ht Hs) as F.
    assert (K : 0 < KL n (after n p d) p).
    { apply (KL_pos n _ _ y A Hp Hy). unfold after. unfold negative_growth in F. fold d in F.
      specialize (P y Hy). nra. }
    assert (E : KL n (after n p d) p = - entropy n (after n p d) - mean n (after n p d) (fun i => ln (p i))).
    { unfold KL, entropy. rewrite Ropp_involutive, <- mean_minus. apply mean_ext. intros i Hi.
      apply ln_div; [now apply (dist_pos n _ A) | auto]. }
    (* the covariance of α and log π *)
    enough (C : mean n p (fun i => ln (p i)) <= mean n (after n p d) (fun i => ln (p i))).
    { change (after_negative n p y s) with (after n p d).
      assert (Ep : entropy n p = - mean n p (fun i => ln (p i))) by reflexivity. lra. }
    assert (W : mean n (after n p d) (fun i => ln (p i)) * Z
                = mean n p (fun i => exp (s * p i) * ln (p i))
                  - (1 - exp (- s)) * (p y * (exp (s * p y) * ln (p y)))).
    { rewrite <- (mean_ind_mult n p y (fun i => exp (s * p i) * ln (p i)) Hy), <- mean_scal, <- mean_minus.
      unfold mean. rewrite <- sum_scal_r. apply sum_ext. intros i Hi. unfold after, growth. fold Z.
      unfold d. destruct (ind_cases i y) as [[E' I]|[N' I]]; rewrite I.
      - subst i. rewrite negative_label. replace (s * (p y - 1)) with (s * p y + - s) by ring.
        rewrite exp_plus. field. lra.
      - rewrite negative_other by assumption. field. lra. }
    assert (V : Z = mean n p (fun i => exp (s * p i)) - (1 - exp (- s)) * (p y * exp (s * p y)))
      by (now apply partition_by_label).
    pose proof (chebyshev n p Hp (fun i => exp (s * p i)) (fun i => ln (p i))) as C. cbv beta in C.
    assert (C' : mean n p (fun i => exp (s * p i)) * mean n p (fun i => ln (p i))
                 <= mean n p (fun i => exp (s * p i) * ln (p i))).
    { apply C. intros i j Hi Hj. destruct (Rle_or_lt (p i) (p j)) as [L|G].
      - pose proof (ln_le _ _ (P i Hi) L). assert (exp (s * p i) <= exp (s * p j)) by (apply exp_le; nra). nra.
      - pose proof (ln_increasing _ _ (P j Hj) G).
        assert (exp (s * p j) <= exp (s * p i)) by (apply exp_le; nra). nra. }
    apply (Rmult_le_reg_r Z); [assumption|]. rewrite W, V.
    unfold entropy in H. set (m := mean n p (fun i => ln (p i))) in *.
    assert (B : 0 <= (1 - exp (- s)) * (p y * exp (s * p y)) * (m - ln (p y))).
    { apply Rmult_le_pos; [|lra]. apply Rmult_le_pos.
      - pose proof (exp_neg_lt_1 (- s)). lra.
      - apply Rmult_le_pos; [apply Rlt_le; auto | apply Rlt_le, exp_pos]. }
    lra.
  Qed.

  (** In particular a label no likelier than 1/V sharpens the distribution when penalised. *)
  Lemma unlikely_label_sharpens : forall s, 0 < s -> p y <= 1 / INR n ->
    entropy n (after_negative n p y s) < entropy n p.
  Proof.
    intros s Hs H. apply entropy_falls; [assumption|].
    apply Rle_trans with (1 := entropy_le_ln n p Hp).
    pose proof (dist_pos n p Hp y Hy) as P. assert (N : 0 < INR n) by (apply lt_0_INR; lia).
    assert (ln (p y) <= ln (1 / INR n)) by (now apply ln_le).
    unfold Rdiv in H0. rewrite Rmult_1_l, ln_Rinv in H0 by assumption. lra.
  Qed.
End Step.
