(** The little calculus that the theory needs, from the standard library alone: the exponential
    lies above its tangents and below its chords, functions grow where their derivative is
    nonnegative, and sums are differentiated term by term. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums.
Open Scope R_scope.

(** ** Quotients *)

Lemma div_lt_1 : forall a b, 0 < b -> a < b -> a / b < 1.
Proof.
  intros a b Hb H. apply (Rmult_lt_reg_r b); [assumption|].
  replace (a / b * b) with a by (field; lra). lra.
Qed.

Lemma div_lt_1_inv : forall a b, 0 < b -> a / b < 1 -> a < b.
Proof.
  intros a b Hb H. apply (Rmult_lt_compat_r b) in H; [|lra].
  replace (a / b * b) with a in H by (field; lra). lra.
Qed.

Lemma div_gt_1 : forall a b, 0 < b -> b < a -> 1 < a / b.
Proof.
  intros a b Hb H. apply (Rmult_lt_reg_r b); [assumption|].
  replace (a / b * b) with a by (field; lra). lra.
Qed.

Lemma div_gt_1_inv : forall a b, 0 < b -> 1 < a / b -> b < a.
Proof.
  intros a b Hb H. apply (Rmult_lt_compat_r b) in H; [|lra].
  replace (a / b * b) with a in H by (field; lra). lra.
Qed.

Lemma div_le_div : forall a b c, 0 < c -> a <= b -> a / c <= b / c.
Proof.
  intros. unfold Rdiv. apply Rmult_le_compat_r; [|assumption].
  apply Rlt_le. now apply Rinv_0_lt_compat.
Qed.

Lemma div_lt_div : forall a b c, 0 < c -> a < b -> a / c < b / c.
Proof.
  intros. unfold Rdiv. apply Rmult_lt_compat_r; [|assumption]. now apply Rinv_0_lt_compat.
Qed.

Lemma lt_div : forall a b c, 0 < c -> a * c < b -> a < b / c.
Proof.
  intros a b c Hc H. apply (Rmult_lt_reg_r c); [assumption|].
  replace (b / c * c) with b by (field; lra). assumption.
Qed.

Lemma lt_div_inv : forall a b c, 0 < c -> a < b / c -> a * c < b.
Proof.
  intros a b c Hc H. apply (Rmult_lt_compat_r c) in H; [|lra].
  replace (b / c * c) with b in H by (field; lra). assumption.
Qed.

Lemma div_lt : forall a b c, 0 < c -> a < b * c -> a / c < b.
Proof.
  intros a b c Hc H. apply (Rmult_lt_reg_r c); [assumption|].
  replace (a / c * c) with a by (field; lra). assumption.
Qed.

Lemma div_lt_inv : forall a b c, 0 < c -> a / c < b -> a < b * c.
Proof.
  intros a b c Hc H. apply (Rmult_lt_compat_r c) in H; [|lra].
  replace (a / c * c) with a in H by (field; lra). assumption.
Qed.

Lemma le_div : forall a b c, 0 < c -> a * c <= b -> a <= b / c.
Proof.
  intros a b c Hc H. apply (Rmult_le_reg_r c); [assumption|].
  replace (b / c * c) with b by (field; lra). assumption.
Qed.

Lemma le_div_inv : forall a b c, 0 < c -> a <= b / c -> a * c <= b.
Proof.
  intros a b c Hc H. apply (Rmult_le_compat_r c) in H; [|lra].
  replace (b / c * c) with b in H by (field; lra). assumption.
Qed.

Lemma div_le : forall a b c, 0 < c -> a <= b * c -> a / c <= b.
Proof.
  intros a b c Hc H. apply (Rmult_le_reg_r c); [assumption|].
  replace (a / c * c) with a by (field; lra). assumption.
Qed.

Lemma div_le_inv : forall a b c, 0 < c -> a / c <= b -> a <= b * c.
Proof.
  intros a b c Hc H. apply (Rmult_le_compat_r c) in H; [|lra].
  replace (a / c * c) with a in H by (field; lra). assumption.
Qed.

(** ** The exponential and the logarithm *)

Lemma exp_le : forall x y, x <= y -> exp x <= exp y.
Proof. intros x y [H|H]; [left; now apply exp_increasing | right; now rewrite H]. Qed.

Lemma exp_neg_lt_1 : forall x, x < 0 -> exp x < 1.
Proof. intros x H. apply Rlt_le_trans with (exp 0); [now apply exp_increasing | rewrite exp_0; lra]. Qed.

Lemma exp_nonpos_le_1 : forall x, x <= 0 -> exp x <= 1.
Proof. intros x H. apply Rle_trans with (exp 0); [now apply exp_le | rewrite exp_0; lra]. Qed.

Lemma exp_pos_gt_1 : forall x, 0 < x -> 1 < exp x.
Proof. intros x H. apply Rle_lt_trans with (exp 0); [rewrite exp_0; lra | now apply exp_increasing]. Qed.

Lemma exp_minus : forall x y, exp (x - y) = exp x / exp y.
Proof. intros. unfold Rminus, Rdiv. now rewrite exp_plus, exp_Ropp. Qed.

Lemma exp_inv_pair : forall x, exp x * exp (- x) = 1.
Proof. intro x. rewrite <- exp_plus. replace (x + - x) with 0 by ring. apply exp_0. Qed.

(** e^{−x} ≤ 1/(1 + x), and e^x ≤ 1/(1 − x): enough for every numeric counter-example. *)
Lemma exp_neg_le : forall x, 0 <= x -> exp (- x) <= 1 / (1 + x).
Proof.
  intros x H. apply le_div; [lra|]. apply Rle_trans with (exp (- x) * exp x).
  - apply Rmult_le_compat_l; [apply Rlt_le, exp_pos | apply exp_ineq1_le].
  - rewrite Rmult_comm, exp_inv_pair. lra.
Qed.

Lemma exp_le_frac : forall x, x < 1 -> exp x <= 1 / (1 - x).
Proof.
  intros x H. apply le_div; [lra|]. apply Rle_trans with (exp x * exp (- x)).
  - apply Rmult_le_compat_l; [apply Rlt_le, exp_pos|]. pose proof (exp_ineq1_le (- x)). lra.
  - rewrite exp_inv_pair. lra.
Qed.

Lemma ln_le : forall x y, 0 < x -> x <= y -> ln x <= ln y.
Proof. intros x y Hx [H|H]; [left; now apply ln_increasing | right; now rewrite H]. Qed.

Lemma ln_div : forall x y, 0 < x -> 0 < y -> ln (x / y) = ln x - ln y.
Proof.
  intros x y Hx Hy. unfold Rdiv. rewrite ln_mult, ln_Rinv; [ring | assumption.. |].
  now apply Rinv_0_lt_compat.
Qed.

Lemma ln_le_minus_1 : forall x, 0 < x -> ln x <= x - 1.
Proof. intros x H. pose proof (exp_ineq1_le (ln x)) as E. rewrite exp_ln in E by assumption. lra. Qed.

Lemma ln_lt_minus_1 : forall x, 0 < x -> x <> 1 -> ln x < x - 1.
Proof.
  intros x H N. pose proof (exp_ineq1 (ln x)) as E. rewrite exp_ln in E by assumption.
  enough (ln x <> 0) by (specialize (E H0); lra).
  intro Z. apply N. rewrite <- (exp_ln x H), Z. apply exp_0.
Qed.

Lemma ln_gt_inv : forall x, 0 < x -> 1 - 1 / x <= ln x.
Proof.
  intros x H. pose proof (ln_le_minus_1 (/ x) (Rinv_0_lt_compat x H)) as L.
  rewrite ln_Rinv in L by assumption. unfold Rdiv. lra.
Qed.

Lemma ln_le_iff_exp : forall x y, 0 < x -> (ln x <= y <-> x <= exp y).
Proof.
  intros x y H. split; intro L.
  - rewrite <- (exp_ln x H). now apply exp_le.
  - rewrite <- (ln_exp y). now apply ln_le.
Qed.

(** The exponential is convex: it lies below its chords. *)
Lemma exp_convex : forall l a b, 0 <= l <= 1 ->
  exp (l * a + (1 - l) * b) <= l * exp a + (1 - l) * exp b.
Proof.
  intros l a b Hl. set (m := l * a + (1 - l) * b). pose proof (exp_pos m) as P.
  assert (T : forall x, exp m * (1 + (x - m)) <= exp x).
  { intro x. replace (exp x) with (exp m * exp (x - m)) by (rewrite <- exp_plus; f_equal; ring).
    apply Rmult_le_compat_l; [lra | apply exp_ineq1_le]. }
  pose proof (Rmult_le_compat_l l _ _ (proj1 Hl) (T a)) as A.
  assert (0 <= 1 - l) as Hl' by lra. pose proof (Rmult_le_compat_l (1 - l) _ _ Hl' (T b)) as B.
  assert (E : l * (exp m * (1 + (a - m))) + (1 - l) * (exp m * (1 + (b - m)))
              = exp m * (1 + (l * a + (1 - l) * b - m))) by ring.
  assert (Z : l * a + (1 - l) * b - m = 0) by (unfold m; ring).
  rewrite Z in E. lra.
Qed.

(** Bernoulli's inequality: e^{la} ≤ l·e^a + 1 − l. *)
Lemma bernoulli : forall l a, 0 <= l <= 1 -> exp (l * a) <= l * exp a + (1 - l).
Proof.
  intros l a H. pose proof (exp_convex l a 0 H) as E. rewrite exp_0 in E.
  replace (l * a + (1 - l) * 0) with (l * a) in E by ring. lra.
Qed.

(** The chord over [a, b]. *)
Lemma exp_chord : forall a b x, a < b -> a <= x <= b ->
  exp x <= (1 - (x - a) / (b - a)) * exp a + (x - a) / (b - a) * exp b.
Proof.
  intros a b x H Hx. set (l := (x - a) / (b - a)).
  assert (E : l * (b - a) = x - a) by (unfold l; field; lra).
  assert (0 <= l) by (apply le_div; lra). assert (l <= 1) by (apply div_le; lra).
  replace x with (l * b + (1 - l) * a) by lra. pose proof (exp_convex l b a). lra.
Qed.

Lemma Rabs_bounds : forall x c, Rabs x <= c -> - c <= x <= c.
Proof. intros x c H. pose proof (Rle_abs x). pose proof (Rle_abs (- x)). rewrite Rabs_Ropp in H1. lra. Qed.

(** ** Derivatives *)

Lemma dl_val : forall f x l l', derivable_pt_lim f x l -> l = l' -> derivable_pt_lim f x l'.
Proof. intros. now subst. Qed.

Lemma dl_ext : forall f g x l, (forall t, f t = g t) -> derivable_pt_lim f x l -> derivable_pt_lim g x l.
Proof.
  intros f g x l E H eps He. destruct (H eps He) as [d Hd]. exists d. intros h Hh Hl.
  rewrite <- !E. now apply Hd.
Qed.

Lemma dl_const : forall c x, derivable_pt_lim (fun _ => c) x 0.
Proof. exact derivable_pt_lim_const. Qed.

Lemma dl_id : forall x, derivable_pt_lim (fun t => t) x 1.
Proof. exact derivable_pt_lim_id. Qed.

Lemma dl_plus : forall f g x a b, derivable_pt_lim f x a -> derivable_pt_lim g x b ->
  derivable_pt_lim (fun t => f t + g t) x (a + b).
Proof. intros. now apply (derivable_pt_lim_plus f g). Qed.

Lemma dl_minus : forall f g x a b, derivable_pt_lim f x a -> derivable_pt_lim g x b ->
  derivable_pt_lim (fun t => f t - g t) x (a - b).
Proof. intros. now apply (derivable_pt_lim_minus f g). Qed.

Lemma dl_mult : forall f g x a b, derivable_pt_lim f x a -> derivable_pt_lim g x b ->
  derivable_pt_lim (fun t => f t * g t) x (a * g x + f x * b).
Proof. intros. now apply (derivable_pt_lim_mult f g). Qed.

Lemma dl_scal : forall c f x a, derivable_pt_lim f x a -> derivable_pt_lim (fun t => c * f t) x (c * a).
Proof.
  intros c f x a H. apply (dl_val _ _ (0 * f x + c * a)); [|ring].
  apply (dl_mult (fun _ => c) f); [apply dl_const | assumption].
Qed.

Lemma dl_div : forall f g x a b, g x <> 0 -> derivable_pt_lim f x a -> derivable_pt_lim g x b ->
  derivable_pt_lim (fun t => f t / g t) x ((a * g x - b * f x) / (g x * g x)).
Proof. intros. now apply (derivable_pt_lim_div f g). Qed.

Lemma dl_exp : forall f x a, derivable_pt_lim f x a ->
  derivable_pt_lim (fun t => exp (f t)) x (exp (f x) * a).
Proof. intros. apply (derivable_pt_lim_comp f exp); [assumption | apply derivable_pt_lim_exp]. Qed.

Lemma dl_ln : forall f x a, 0 < f x -> derivable_pt_lim f x a ->
  derivable_pt_lim (fun t => ln (f t)) x (a / f x).
Proof.
  intros. apply (dl_val _ _ (/ f x * a)); [|unfold Rdiv; ring].
  apply (derivable_pt_lim_comp f ln); [assumption | now apply derivable_pt_lim_ln].
Qed.

Lemma dl_sum : forall n (f : nat -> R -> R) (l : nat -> R) x,
  (forall i, (i < n)%nat -> derivable_pt_lim (f i) x (l i)) ->
  derivable_pt_lim (fun t => sum n (fun i => f i t)) x (sum n l).
Proof.
  induction n; intros f l x H; cbn [sum]; [apply dl_const|].
  apply (dl_plus (fun t => sum n (fun i => f i t)) (f n)); [apply IHn; auto with arith | apply H; lia].
Qed.

(** A function grows where its derivative is nonnegative. *)
Lemma grows : forall f f' a b, a <= b ->
  (forall x, a <= x <= b -> derivable_pt_lim f x (f' x)) ->
  (forall x, a <= x <= b -> 0 <= f' x) -> f a <= f b.
Proof.
  intros f f' a b [H|H] D P; [|subst; lra].
  destruct (MVT_cor2 f f' a b H D) as [c [E [Ha Hb]]].
  assert (0 <= f' c * (b - a)); [|lra]. apply Rmult_le_pos; [apply P; lra | lra].
Qed.

Lemma grows_strictly : forall f f' a b, a < b ->
  (forall x, a <= x <= b -> derivable_pt_lim f x (f' x)) ->
  (forall x, a < x < b -> 0 < f' x) -> f a < f b.
Proof.
  intros f f' a b H D P.
  destruct (MVT_cor2 f f' a b H D) as [c [E [Ha Hb]]].
  assert (0 < f' c * (b - a)); [|lra]. apply Rmult_lt_0_compat; [apply P; lra | lra].
Qed.

(** ** Limits of sequences *)

Lemma squeeze_limit : forall (u v : nat -> R) l,
  (forall t, Rabs (u t - l) <= v t) -> Un_cv v 0 -> Un_cv u l.
Proof.
  intros u v l H C eps He. destruct (C eps He) as [N HN]. exists N. intros t Ht.
  specialize (HN t Ht). unfold R_dist in *. rewrite Rminus_0_r in HN.
  specialize (H t). pose proof (Rle_abs (v t)). lra.
Qed.
