(** The kernel K = J·Jᵀ and the predictions made with it (paper: §2, eq. 3–7, App. C).

    A context is its Jacobians J_l(i, k) = ∂z_i/∂θ_k, one for each position l; G_l is the loss's
    derivative by the logits there, w(π − e_y). One step θ − η·Σ_l J_lᵀG_l moves the logits of
    another context by −η Σ_l K_{m,l}G_l, to first order in general and exactly with frozen features. *)

From Coq Require Import Reals Lra Lia Arith.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder.
Open Scope R_scope.

(** K_{m,l}(i, j) = Σ_k J_m(i, k)·J_l(j, k), over d parameters. *)
Definition kernel (d : nat) (Jo Ju : nat -> nat -> nat -> R) (m l i j : nat) : R :=
  sum d (fun k => Jo m i k * Ju l j k).

(** G: w(π − e_y). *)
Definition residual (w : R) (p : nat -> R) (y i : nat) : R := w * (p i - ind i y).

(** The loss's derivative by θ_k: Σ_l (J_lᵀG_l)_k, over L positions. *)
Definition gradient (n L : nat) (J : nat -> nat -> nat -> R) (G : nat -> nat -> R) (k : nat) : R :=
  sum L (fun l => sum n (fun j => G l j * J l j k)).

(** What the step θ − η·g does to the logits at position m: −η·J_m·g. *)
Definition logit_change (d : nat) (J : nat -> nat -> nat -> R) (g : nat -> R) (eta : R) (m i : nat) : R :=
  - (eta * sum d (fun k => J m i k * g k)).

(** −η Σ_l A_m·K_{m,l}·G_l, written out. *)
Definition minus_eta_AKG (n d L : nat) (Jo Ju : nat -> nat -> nat -> R) (p : nat -> R)
  (G : nat -> nat -> R) (eta : R) (m i : nat) : R :=
  - (eta * sum L (fun l => sum n (fun a => adaptation p i a * sum n (fun j => kernel d Jo Ju m l a j * G l j)))).

(** ** The kernel *)

Lemma kernel_transposed : forall d Jo Ju m l i j, kernel d Jo Ju m l i j = kernel d Ju Jo l m j i.
Proof. intros. apply sum_ext. intros. ring. Qed.

(** The matrix-free product: J_m·(J_lᵀ·g). *)
Lemma kernel_product : forall n d Jo Ju m l g i,
  sum n (fun j => kernel d Jo Ju m l i j * g j) = sum d (fun k => Jo m i k * sum n (fun j => g j * Ju l j k)).
Proof.
  intros. unfold kernel.
  rewrite (sum_ext n _ (fun j => sum d (fun k => Jo m i k * (g j * Ju l j k)))).
  - rewrite sum_swap. apply sum_ext. intros. apply sum_scal.
  - intros j _. rewrite <- sum_scal_r. apply sum_ext. intros. ring.
Qed.

(** Over all positions: Σ_l K_{m,l}·G_l = J_m·(the gradient). *)
Lemma kernel_gradient : forall n d L Jo Ju m G i,
  sum L (fun l => sum n (fun j => kernel d Jo Ju m l i j * G l j))
  = sum d (fun k => Jo m i k * gradient n L Ju G k).
Proof.
  intros. rewrite (sum_ext L _ (fun l => sum d (fun k => Jo m i k * sum n (fun j => G l j * Ju l j k))))
    by (intros; apply kernel_product).
  rewrite sum_swap. apply sum_ext. intros. unfold gradient. apply sum_scal.
Qed.

(** g·K·g over all positions of one context is ‖Jᵀg‖². *)
Lemma kernel_form : forall n d M J (g : nat -> nat -> R),
  sum M (fun m => sum n (fun i => g m i * sum M (fun l => sum n (fun j => kernel d J J m l i j * g l j))))
  = norm_sq d (gradient n M J g).
Proof.
  intros. unfold norm_sq.
  rewrite (sum_ext M _ (fun m => sum d (fun k => sum n (fun i => g m i * J m i k) * gradient n M J g k))).
  - rewrite sum_swap. apply sum_ext. intros k _. now rewrite sum_scal_r.
  - intros m _.
    rewrite (sum_ext n _ (fun i => sum d (fun k => g m i * J m i k * gradient n M J g k))).
    + rewrite sum_swap. apply sum_ext. intros k _. apply sum_scal_r.
    + intros i _. rewrite kernel_gradient, <- sum_scal. apply sum_ext. intros. ring.
Qed.

Lemma kernel_nonnegative : forall n d M J (g : nat -> nat -> R),
  0 <= sum M (fun m => sum n (fun i =>
         g m i * sum M (fun l => sum n (fun j => kernel d J J m l i j * g l j)))).
Proof. intros. rewrite kernel_form. apply norm_sq_nonneg. Qed.

(** ** The norm ‖K_{m,l}‖_F² *)

Definition frobenius_sq (n : nat) (K : nat -> nat -> R) : R := sum n (fun i => sum n (fun j => K i j * K i j)).

(** … by products with unit vectors, … *)
Lemma frobenius_by_products : forall n K,
  frobenius_sq n K = sum n (fun k => norm_sq n (fun i => sum n (fun j => K i j * ind j k))).
Proof.
  intros. unfold frobenius_sq, norm_sq. rewrite sum_swap. apply sum_ext. intros k Hk. apply sum_ext.
  intros i _. rewrite (sum_ext n _ (fun j => ind j k * K i j)) by (intros; ring). now rewrite sum_ind.
Qed.

(** … and of k·I. *)
Lemma frobenius_scaled_identity : forall n k,
  frobenius_sq n (fun i j => k * ind i j) = k * k * INR n.
Proof.
  intros. unfold frobenius_sq. rewrite (sum_ext n _ (fun _ => k * k)).
  - rewrite sum_const. ring.
  - intros i Hi. rewrite (sum_ext n _ (fun j => ind j i * (k * k * ind j i))) by (intros; rewrite (ind_sym i); ring).
    rewrite sum_ind, ind_same by assumption. ring.
Qed.

Lemma norm_scaled_identity : forall n k, sqrt (frobenius_sq n (fun i j => k * ind i j)) = Rabs k * sqrt (INR n).
Proof.
  intros. rewrite frobenius_scaled_identity, sqrt_mult; [|apply Rle_0_sqr | apply pos_INR].
  f_equal. apply sqrt_Rsqr_abs.
Qed.

(** ** A linear read-out on frozen features *)

(** z = W·φ, h features. *)
Definition readout (h : nat) (W : nat -> nat -> R) (phi : nat -> R) (i : nat) : R := sum h (fun b => W i b * phi b).

(** Its Jacobian, W's rows one after the other: ∂z_i/∂W_ab = [i = a]·φ_b, k = a·h + b. *)
Definition readout_jacobian (h : nat) (phi : nat -> nat -> R) (l i k : nat) : R :=
  ind i (k / h) * phi l (k mod h).

(** It is the Jacobian: z is linear in W, … *)
Lemma readout_linear : forall n h W phi l i, (i < n)%nat ->
  readout h W (phi l) i
  = sum (n * h) (fun k => readout_jacobian h phi l i k * W (k / h)%nat (k mod h)).
Proof.
  intros n h W phi l i Hi. unfold readout_jacobian. rewrite sum_rows.
  rewrite (sum_ext n _ (fun a => ind a i * readout h W (phi l) a)); [now rewrite sum_ind|].
  intros a _. unfold readout. rewrite <- sum_scal. apply sum_ext. intros b Hb.
  rewrite Nat.div_add_l, (Nat.div_small b h), Nat.add_0_r by lia.
  rewrite Nat.add_comm, Nat.mod_add, Nat.mod_small, (ind_sym a i) by lia. ring.
Qed.

(** … and K_{m,l} = ⟨φ_m, φ_l⟩·I. *)
Lemma readout_kernel : forall n h po pu m l i j, (i < n)%nat ->
  kernel (n * h) (readout_jacobian h po) (readout_jacobian h pu) m l i j
  = sum h (fun b => po m b * pu l b) * ind i j.
Proof.
  intros n h po pu m l i j Hi. unfold kernel, readout_jacobian. rewrite sum_rows.
  rewrite (sum_ext n _ (fun a => ind a i * (ind j a * sum h (fun b => po m b * pu l b)))).
  - rewrite sum_ind, (ind_sym j i) by assumption. ring.
  - intros a _. rewrite <- !sum_scal. apply sum_ext. intros b Hb.
    rewrite Nat.div_add_l, (Nat.div_small b h), Nat.add_0_r by lia.
    rewrite (Nat.add_comm (a * h)), Nat.mod_add, Nat.mod_small, (ind_sym a i) by lia. ring.
Qed.

Lemma readout_kernel_norm : forall n h po pu m l,
  sqrt (frobenius_sq n (kernel (n * h) (readout_jacobian h po) (readout_jacobian h pu) m l))
  = Rabs (sum h (fun b => po m b * pu l b)) * sqrt (INR n).
Proof.
  intros. rewrite <- norm_scaled_identity. f_equal. unfold frobenius_sq.
  apply sum_ext. intros i Hi. apply sum_ext. intros j _. now rewrite readout_kernel.
Qed.

(** W after one step of gradient descent on L positions. *)
Definition stepped (L : nat) (W phi G : nat -> nat -> R) (eta : R) (i b : nat) : R :=
  W i b - eta * sum L (fun l => G l i * phi l b).

(** Its logits at any context χ: −η Σ_l ⟨χ, φ_l⟩·G_l, exactly. *)
Lemma stepped_logits : forall h L W phi G eta chi i,
  readout h (stepped L W phi G eta) chi i
  = readout h W chi i + - (eta * sum L (fun l => sum h (fun b => chi b * phi l b) * G l i)).
Proof.
  intros. unfold readout, stepped.
  rewrite (sum_ext h _ (fun b => W i b * chi b - eta * sum L (fun l => chi b * phi l b * G l i))).
  - rewrite sum_minus, sum_scal, sum_swap. unfold Rminus. do 3 f_equal. apply sum_ext. intros. apply sum_scal_r.
  - intros b _. replace (sum L (fun l => chi b * phi l b * G l i)) with (chi b * sum L (fun l => G l i * phi l b)).
    + ring.
    + rewrite <- sum_scal. apply sum_ext. intros. ring.
Qed.

(** The step is along the loss's gradient: d/ds −log π_y(W + s·D) = ⟨(π − e_y)φᵀ, D⟩. *)
Lemma readout_gradient : forall n h W phi y D, (y < n)%nat ->
  derivable_pt_lim (fun s => - ln (softmax n (readout h (fun i b => W i b + s * D i b) phi) y)) 0
    (sum n (fun i => sum h (fun b => (softmax n (readout h W phi) i - ind i y) * phi b * D i b))).
Proof.
  intros n h W phi y D Hy. assert (Hn : (0 < n)%nat) by lia.
  set (p := softmax n (readout h W phi)). pose proof (softmax_distribution n (readout h W phi) Hn) as Hp. fold p in Hp.
  set (d := readout h D phi).
  apply (dl_ext (fun s => 0 - ln (after n p (fun j => s * d j) y))).
  { intro s. unfold p. rewrite <- softmax_moved by assumption. rewrite Rminus_0_l. do 2 f_equal.
    apply softmax_ext. intro j. unfold d, readout. rewrite <- sum_scal, <- sum_plus. apply sum_ext. intros. ring. }
  apply (dl_val _ _ (0 - adapt n p d y)).
  - apply (dl_minus (fun _ => 0)); [apply dl_const | now apply log_softmax_derivative].
  - rewrite (adapt_value n p) by assumption.
    rewrite (sum_ext n _ (fun i => p i * d i - ind i y * d i)).
    + rewrite sum_minus, sum_ind by assumption. unfold mean. ring.
    + intros i _. unfold d, readout. rewrite <- Rmult_minus_distr_r, <- sum_scal. apply sum_ext. intros. ring.
Qed.

(** One example: Δz = −s(π − e_y) with s = η‖φ‖². *)
Lemma regression_step : forall n h W phi y eta i,
  readout h (stepped 1 W (fun _ => phi) (fun _ => residual 1 (softmax n (readout h W phi)) y) eta) phi i
  - readout h W phi i
  = - (eta * norm_sq h phi * (softmax n (readout h W phi) i - ind i y)).
Proof. intros. rewrite stepped_logits. cbn [sum]. unfold residual, norm_sq. ring. Qed.

(** ** Predictions *)

(** G is the derivative of −w·log π_y by the logits. *)
Lemma residual_is_gradient : forall n z w y d, (y < n)%nat ->
  derivable_pt_lim (fun s => - (w * ln (softmax n (fun j => z j + s * d j) y))) 0
    (sum n (fun j => residual w (softmax n z) y j * d j)).
Proof.
  intros n z w y d Hy. assert (Hn : (0 < n)%nat) by lia.
  pose proof (softmax_distribution n z Hn) as Hp. set (p := softmax n z) in *.
  apply (dl_ext (fun s => - w * ln (after n p (fun j => s * d j) y))).
  { intro s. unfold p. rewrite <- softmax_moved by assumption. ring. }
  apply (dl_val _ _ (- w * adapt n p d y)).
  - apply (dl_scal (- w) (fun s => ln (after n p (fun j => s * d j) y))). now apply log_softmax_derivative.
  - rewrite (adapt_value n p) by assumption.
    rewrite (sum_ext n _ (fun j => w * (p j * d j) - w * (ind j y * d j))) by (intros; unfold residual; ring).
    rewrite sum_minus, !sum_scal, sum_ind by assumption. unfold mean. ring.
Qed.

Lemma adapt_scal : forall n p c v i, adapt n p (fun a => c * v a) i = c * adapt n p v i.
Proof. intros. unfold adapt. rewrite <- sum_scal. apply sum_ext. intros. ring. Qed.

Lemma adapt_ext : forall n p v w i, (forall a, (a < n)%nat -> v a = w a) -> adapt n p v i = adapt n p w i.
Proof. intros n p v w i H. apply sum_ext. intros a Ha. now rewrite H. Qed.

Lemma adapt_sum : forall n p L v i,
  adapt n p (fun a => sum L (fun l => v l a)) i = sum L (fun l => adapt n p (v l) i).
Proof.
  intros. unfold adapt. rewrite (sum_ext n _ (fun a => sum L (fun l => adaptation p i a * v l a)))
    by (intros; now rewrite sum_scal).
  apply sum_swap.
Qed.

(** A times the change of the logits is −η Σ_l A·K·G. *)
Lemma prediction_written_out : forall n d L Jo Ju p G eta m i,
  adapt n p (logit_change d Jo (gradient n L Ju G) eta m) i = minus_eta_AKG n d L Jo Ju p G eta m i.
Proof.
  intros. unfold minus_eta_AKG.
  rewrite (adapt_ext n p _ (fun a => - eta * sum L (fun l => sum n (fun j => kernel d Jo Ju m l a j * G l j)))).
  - rewrite adapt_scal, adapt_sum. unfold adapt. ring.
  - intros a _. unfold logit_change. rewrite kernel_gradient. ring.
Qed.

(** For a pair the step is along the chosen response's gradient minus the rejected one's. *)
Lemma logit_change_minus : forall d J g h eta m i,
  logit_change d J (fun k => g k - h k) eta m i = logit_change d J g eta m i - logit_change d J h eta m i.
Proof.
  intros. unfold logit_change. rewrite (sum_ext d _ (fun k => J m i k * g k - J m i k * h k)) by (intros; ring).
  rewrite sum_minus. ring.
Qed.

Lemma pair_prediction : forall n d Lp Lm Jo Jp Jm p Gp Gm eta m i,
  adapt n p (logit_change d Jo (fun k => gradient n Lp Jp Gp k - gradient n Lm Jm Gm k) eta m) i
  = minus_eta_AKG n d Lp Jo Jp p Gp eta m i - minus_eta_AKG n d Lm Jo Jm p Gm eta m i.
Proof.
  intros. rewrite <- !prediction_written_out.
  rewrite (adapt_ext n p _ (fun a => logit_change d Jo (gradient n Lp Jp Gp) eta m a
                                     - logit_change d Jo (gradient n Lm Jm Gm) eta m a))
    by (intros; apply logit_change_minus).
  unfold adapt. rewrite <- sum_minus. apply sum_ext. intros. ring.
Qed.

(** ** A shared prefix

    Both responses have the same contexts up to position c, where their tokens first differ. *)

Section Prefix.
  Variables (n : nat) (Lp Lm c : nat) (w : R) (Jp Jm : nat -> nat -> nat -> R)
    (pp pm : nat -> nat -> R) (yp ym : nat -> nat).
  Hypothesis Hp : (c < Lp)%nat.
  Hypothesis Hm : (c < Lm)%nat.
  Hypothesis HJ : forall l i k, (l <= c)%nat -> Jp l i k = Jm l i k.
  Hypothesis Hpi : forall l i, (l <= c)%nat -> pp l i = pm l i.
  Hypothesis Hy : forall l, (l < c)%nat -> yp l = ym l.

  Let Gp := fun l => residual w (pp l) (yp l).
  Let Gm := fun l => residual w (pm l) (ym l).

  Lemma shared_prefix_cancels : forall k,
    gradient n Lp Jp Gp k - gradient n Lm Jm Gm k
    = - (w * sum n (fun j => (ind j (yp c) - ind j (ym c)) * Jp c j k))
      + (gradient n (Lp - S c) (fun u => Jp (S c + u)%nat) (fun u => Gp (S c + u)%nat) k
         - gradient n (Lm - S c) (fun u => Jm (S c + u)%nat) (fun u => Gm (S c + u)%nat) k).
  Proof.
    intro k. unfold gradient.
    rewrite (sum_around Lp c _ Hp), (sum_around Lm c _ Hm).
    rewrite (sum_ext c (fun l => sum n (fun j => Gm l j * Jm l j k)) (fun l => sum n (fun j => Gp l j * Jp l j k))).
    - enough (E : sum n (fun j => Gp c j * Jp c j k) - sum n (fun j => Gm c j * Jm c j k)
                  = - (w * sum n (fun j => (ind j (yp c) - ind j (ym c)) * Jp c j k))) by lra.
      rewrite <- sum_minus, Ropp_mult_distr_l, <- sum_scal. apply sum_ext. intros j _.
      unfold Gp, Gm, residual. rewrite HJ, Hpi by lia. ring.
    - intros l Hl. apply sum_ext. intros j _. unfold Gp, Gm, residual. rewrite HJ, Hpi, Hy by lia. reflexivity.
  Qed.

  (** Where both end there, the logits of any context move by η·w·K(e₊ − e₋). *)
  Lemma first_difference : forall d Jo eta m i, Lp = S c -> Lm = S c ->
    logit_change d Jo (fun k => gradient n Lp Jp Gp k - gradient n Lm Jm Gm k) eta m i
    = eta * w * sum n (fun j => kernel d Jo Jp m c i j * (ind j (yp c) - ind j (ym c))).
  Proof.
    intros d Jo eta m i Ep Em. rewrite kernel_product. unfold logit_change.
    rewrite (sum_ext d _ (fun k => - w * (Jo m i k * sum n (fun j => (ind j (yp c) - ind j (ym c)) * Jp c j k)))).
    - rewrite sum_scal. ring.
    - intros k _. rewrite shared_prefix_cancels, Ep, Em, Nat.sub_diag. unfold gradient. cbn [sum]. ring.
  Qed.
End Prefix.

(** ** Frozen features: only the remainder is missing *)

Lemma frozen_features : forall n h L W phi G eta chi i, (i < n)%nat ->
  let p := softmax n (readout h W chi) in
  let p' := softmax n (readout h (stepped L W phi G eta) chi) in
  ln (p' i) - ln (p i)
  = - (eta * sum L (fun l => sum h (fun b => chi b * phi l b) * adapt n p (G l) i)) - KL n p p'.
Proof.
  intros n h L W phi G eta chi i Hi p p'. assert (Hn : (0 < n)%nat) by lia.
  pose proof (softmax_distribution n (readout h W chi) Hn) as Hp. fold p in Hp.
  set (d := fun j => - (eta * sum L (fun l => sum h (fun b => chi b * phi l b) * G l j))).
  assert (E : forall j, p' j = after n p d j).
  { intro j. unfold p, p'. rewrite <- softmax_moved by assumption. apply softmax_ext. intro k. apply stepped_logits. }
  assert (K : KL n p p' = KL n p (after n p d)).
  { unfold KL. apply mean_ext. intros. now rewrite E. }
  rewrite K. pose proof (remainder_is_KL n p Hp d i Hi) as R. unfold remainder in R.
  rewrite ln_div, <- E in R.
  - rewrite (adapt_ext n p d (fun a => - eta * sum L (fun l => sum h (fun b => chi b * phi l b) * G l a))) in R
      by (intros; unfold d; ring).
    rewrite adapt_scal, adapt_sum in R.
    rewrite (sum_ext L (fun l => adapt n p (fun a => sum h (fun b => chi b * phi l b) * G l a) i)
                       (fun l => sum h (fun b => chi b * phi l b) * adapt n p (G l) i)) in R
      by (intros; apply adapt_scal). lra.
  - now apply (dist_pos n _ (after_distribution n p Hp d)).
  - now apply (dist_pos n p Hp).
Qed.
