(** A table of numbers, as printed: how the squeeze of a pair dissolves with the overlap ρ of its two contexts.

    Digits need the exponential to four places: its series, cut at an odd power, lies below it. *)

From Coq Require Import Reals Lra Lia List.
From Ldyn Require Import Sums Calculus Softmax Adaptation BothSigns CounterExamples.
Import ListNotations.
Local Open Scope R_scope.

(** ** The series of the exponential *)

(** x^k/k!. *)
Fixpoint exp_term (k : nat) (x : R) : R :=
  match k with
  | O => 1
  | S u => exp_term u x * x / INR (S u)
  end.

Lemma exp_term_derivative : forall k x, derivable_pt_lim (exp_term (S k)) x (exp_term k x).
Proof.
  assert (F : forall f l c x, derivable_pt_lim f x l ->
    derivable_pt_lim (fun t => f t * t / c) x ((l * x + f x) / c)).
  { intros f l c x D. apply (dl_ext (fun t => / c * (f t * t))); [intro; unfold Rdiv; ring|].
    apply (dl_val _ _ (/ c * (l * x + f x * 1))); [|unfold Rdiv; ring].
    apply (dl_scal (/ c) (fun t => f t * t)). apply (dl_mult f (fun t => t)); [assumption | apply dl_id]. }
  induction k as [|k IH]; intro x.
  - apply (dl_val _ _ ((0 * x + 1) / 1)); [|cbn; field].
    apply (F (fun _ => 1) 0 1). apply dl_const.
  - apply (dl_val _ _ ((exp_term k x * x + exp_term (S k) x) / INR (S (S k)))).
    + apply (F (exp_term (S k))). apply IH.
    + cbn [exp_term]. rewrite (S_INR (S k)), (S_INR k). pose proof (pos_INR k). field. lra.
Qed.

Lemma exp_term_0 : forall k, exp_term (S k) 0 = 0.
Proof. intro k. cbn [exp_term]. unfold Rdiv. ring. Qed.

(** 1 + x + … + x^(m−1)/(m − 1)!. *)
Definition exp_series (m : nat) (x : R) : R := sum m (fun k => exp_term k x).

Lemma exp_series_derivative : forall m x, derivable_pt_lim (exp_series (S m)) x (exp_series m x).
Proof.
  induction m as [|m IH]; intro x.
  - apply (dl_ext (fun _ => 0 + 1)); [reflexivity | apply dl_const].
  - apply (dl_plus (exp_series (S m)) (exp_term (S m))); [apply IH | apply exp_term_derivative].
Qed.

Lemma exp_series_0 : forall m, exp_series (S m) 0 = 1.
Proof.
  unfold exp_series. induction m as [|m IH]; [cbn; ring|].
  change (exp_series (S m) 0 + exp_term (S m) 0 = 1). unfold exp_series. now rewrite IH, exp_term_0, Rplus_0_r.
Qed.

(** f(0) = f′(0) = 0 and f″ ≥ 0: f ≥ 0. *)
Lemma twice_grows : forall f g h, (forall x, derivable_pt_lim f x (g x)) -> (forall x, derivable_pt_lim g x (h x)) ->
  f 0 = 0 -> g 0 = 0 -> (forall x, 0 <= h x) -> forall x, 0 <= f x.
Proof.
  intros f g h Df Dg F0 G0 H.
  assert (G : forall a b, a <= b -> g a <= g b) by (intros a b L; apply (grows g h); auto).
  intro x. destruct (Rle_or_lt 0 x) as [L|L].
  - rewrite <- F0. apply (grows f g); auto. intros t T. rewrite <- G0. apply G. lra.
  - assert (E : 0 - f x <= 0 - f 0); [|lra].
    apply (grows (fun t => 0 - f t) (fun t => 0 - g t)); [lra| |].
    + intros t _. apply (dl_minus (fun _ => 0) f); [apply dl_const | apply Df].
    + intros t T. pose proof (G t 0 ltac:(lra)). lra.
Qed.

Lemma exp_series_below : forall m x, exp_series (2 * m) x <= exp x.
Proof.
  assert (D : forall m x, derivable_pt_lim (fun t => exp t - exp_series (S m) t) x (exp x - exp_series m x)).
  { intros m x. apply (dl_minus exp (exp_series (S m))); [apply derivable_pt_lim_exp | apply exp_series_derivative]. }
  assert (Z : forall m, exp 0 - exp_series (S m) 0 = 0) by (intro; rewrite exp_0, exp_series_0; ring).
  induction m as [|m IH]; intro x; [apply Rlt_le, exp_pos|].
  replace (2 * S m)%nat with (S (S (2 * m))) by lia.
  enough (0 <= exp x - exp_series (S (S (2 * m))) x) by lra.
  apply (twice_grows (fun t => exp t - exp_series (S (S (2 * m))) t) (fun t => exp t - exp_series (S (2 * m)) t)
    (fun t => exp t - exp_series (2 * m) t)); auto.
  intro t. specialize (IH t). lra.
Qed.

(** Eight terms, written out, bound the exponential from both sides. *)
Definition eight_terms (x : R) : R :=
  1 + x + x * x / 2 + x * x * x / 6 + x * x * x * x / 24 + x * x * x * x * x / 120
  + x * x * x * x * x * x / 720 + x * x * x * x * x * x * x / 5040.

Lemma eight_terms_below : forall x, eight_terms x <= exp x.
Proof.
  intro x. replace (eight_terms x) with (exp_series (2 * 4) x); [apply exp_series_below|].
  unfold exp_series, eight_terms. cbn [Nat.mul Nat.add sum exp_term INR]. field.
Qed.

Lemma exp_between : forall x a b, 0 < b -> a <= eight_terms x -> 1 <= b * eight_terms (- x) -> a <= exp x <= b.
Proof.
  intros x a b Hb A B. pose proof (eight_terms_below x). pose proof (eight_terms_below (- x)). split; [lra|].
  apply (Rmult_le_reg_r (exp (- x))); [apply exp_pos|]. rewrite exp_inv_pair.
  apply Rle_trans with (1 := B). apply Rmult_le_compat_l; lra.
Qed.

(** … over a range of x. *)
Lemma exp_range : forall x l u a b, l <= x <= u -> 0 < b -> a <= eight_terms l -> 1 <= b * eight_terms (- u) ->
  a <= exp x <= b.
Proof.
  intros x l u a b [L U] Hb A B. split.
  - apply Rle_trans with (2 := exp_le _ _ L). pose proof (eight_terms_below l). lra.
  - apply Rle_trans with (1 := exp_le _ _ U). apply (exp_between u (eight_terms u)); lra.
Qed.

Lemma product_range : forall a b c d x y, a <= x <= b -> c <= y <= d -> 0 <= a -> 0 <= c ->
  a * c <= x * y <= b * d.
Proof. intros. split; apply Rmult_le_compat; lra. Qed.

Lemma quotient_range : forall x y a b, 0 < y -> a * y <= x <= b * y -> a <= x / y <= b.
Proof. intros x y a b Hy [A B]. split; [now apply le_div | now apply div_le]. Qed.

Lemma quotient_near : forall x y c h, 0 < y -> (c - h) * y <= x <= (c + h) * y -> Rabs (x / y - c) <= h.
Proof. intros x y c h Hy H. pose proof (quotient_range _ _ _ _ Hy H). apply Rabs_le. lra. Qed.

(** ** z = (4, 1, 0, −1⁺, −3⁻), s = 1 *)

Definition five : nat -> R := listed [4; 1; 0; - (1); - (3)].

(** e^{−1}, and π from its powers. *)
Lemma five_values :
  (367879/1000000 <= exp (- (1)) <= 367880/1000000)
  /\ 929581/1000000 <= softmax 5 five 0 <= 929583/1000000
  /\ 46280/1000000 <= softmax 5 five 1 <= 46282/1000000
  /\ 17025/1000000 <= softmax 5 five 2 <= 17027/1000000
  /\ 6263/1000000 <= softmax 5 five 3 <= 6264/1000000
  /\ 847/1000000 <= softmax 5 five 4 <= 848/1000000.
Proof.
  set (t := exp (- (1))).
  assert (T : 367879/1000000 <= t <= 367880/1000000).
  { assert (H : 6065304/10000000 <= exp (- (1/2)) <= 6065310/10000000)
      by (apply exp_between; unfold eight_terms; lra).
    replace t with (exp (- (1/2)) * exp (- (1/2))) by (rewrite <- exp_plus; unfold t; f_equal; lra).
    pose proof (product_range _ _ _ _ _ _ H H ltac:(lra) ltac:(lra)). lra. }
  split; [assumption|].
  assert (P : forall k, exp 4 * t ^ k = exp (4 - INR k)).
  { intro k. induction k as [|k IH]; [cbn; rewrite Rmult_1_r; f_equal; lra|].
    cbn [pow]. replace (exp 4 * (t * t ^ k)) with (exp 4 * t ^ k * t) by ring.
    rewrite IH. unfold t. rewrite <- exp_plus, S_INR. f_equal. ring. }
  assert (T2 : 13533495/100000000 <= t * t <= 13533571/100000000)
    by (pose proof (product_range _ _ _ _ _ _ T T ltac:(lra) ltac:(lra)); lra).
  assert (T3 : 4978688/100000000 <= t ^ 3 <= 4978731/100000000)
    by (pose proof (product_range _ _ _ _ _ _ T2 T ltac:(lra) ltac:(lra)); cbn [pow]; lra).
  assert (T4 : 1831554/100000000 <= t ^ 4 <= 1831576/100000000)
    by (pose proof (product_range _ _ _ _ _ _ T3 T ltac:(lra) ltac:(lra)); cbn [pow] in *; lra).
  assert (T5 : 673790/100000000 <= t ^ 5 <= 673801/100000000)
    by (pose proof (product_range _ _ _ _ _ _ T4 T ltac:(lra) ltac:(lra)); cbn [pow] in *; lra).
  assert (T7 : 91187/100000000 <= t ^ 7 <= 91190/100000000)
    by (pose proof (product_range _ _ _ _ _ _ T5 T2 ltac:(lra) ltac:(lra)); cbn [pow] in *; lra).
  set (S := 1 + t ^ 3 + t ^ 4 + t ^ 5 + t ^ 7).
  assert (E : forall i k, five i = 4 - INR k -> softmax 5 five i = t ^ k / S).
  { intros i k F. unfold softmax. rewrite F, <- P.
    assert (Z : sum 5 (fun j => exp (five j)) = exp 4 * S).
    { unfold S. rewrite !Rmult_plus_distr_l, Rmult_1_r, !P. unfold five, listed. cbn [sum nth].
      cbn [INR]. repeat f_equal; lra. }
    rewrite Z. pose proof (exp_pos 4). field. unfold S. lra. }
  assert (S0 : 0 < S) by (unfold S; lra).
  rewrite (E 0%nat 0%nat), (E 1%nat 3%nat), (E 2%nat 4%nat), (E 3%nat 5%nat), (E 4%nat 7%nat)
    by (unfold five, listed; cbn [nth INR]; lra).
  rewrite pow_O. refine (conj _ (conj _ (conj _ (conj _ _)))); apply quotient_range; try assumption; unfold S; lra.
Qed.

(** α of the three likeliest: (1.044, 0.431, 0.419) without overlap, all 0.990 with full overlap. *)
Lemma squeeze_dissolves :
  let p := softmax 5 five in
  let alpha rho i := growth 5 p (overlapping p p 3 4 rho 1) i in
  Rabs (alpha 0 0%nat - 1044/1000) <= 5/10000 /\ Rabs (alpha 0 1%nat - 431/1000) <= 5/10000
  /\ Rabs (alpha 0 2%nat - 419/1000) <= 5/10000
  /\ forall i, (i < 3)%nat -> Rabs (alpha 1 i - 990/1000) <= 5/10000.
Proof.
  intros p alpha. destruct five_values as [T [P0 [P1 [P2 [P3 P4]]]]]. fold p in P0, P1, P2, P3, P4.
  assert (Hp : distribution 5 p) by (apply softmax_distribution; lia).
  assert (D : forall i, i <> 4%nat -> overlapping p p 3 4 0 1 i = p i)
    by (intros i N; unfold overlapping; rewrite (ind_other i 4) by assumption; ring).
  assert (D4 : overlapping p p 3 4 0 1 4 = p 4%nat - 1)
    by (unfold overlapping; rewrite (ind_same 4); ring).
  assert (E0 : 2533432/1000000 <= exp (p 0%nat) <= 2533533/1000000)
    by (apply (exp_range _ _ _ _ _ P0); unfold eight_terms; lra).
  assert (E1 : 1047367/1000000 <= exp (p 1%nat) <= 1047370/1000000)
    by (apply (exp_range _ _ _ _ _ P1); unfold eight_terms; lra).
  assert (E2 : 1017170/1000000 <= exp (p 2%nat) <= 1017173/1000000)
    by (apply (exp_range _ _ _ _ _ P2); unfold eight_terms; lra).
  assert (E3 : 1006282/1000000 <= exp (p 3%nat) <= 1006284/1000000)
    by (apply (exp_range _ _ _ _ _ P3); unfold eight_terms; lra).
  assert (E4 : 368169/1000000 <= exp (p 4%nat - 1) <= 368196/1000000).
  { assert (Q : 847/1000000 - 1 <= p 4%nat - 1 <= 848/1000000 - 1) by lra.
    apply (exp_range _ _ _ _ _ Q); unfold eight_terms; lra. }
  pose proof (product_range _ _ _ _ _ _ P0 E0 ltac:(lra) ltac:(lra)).
  pose proof (product_range _ _ _ _ _ _ P1 E1 ltac:(lra) ltac:(lra)).
  pose proof (product_range _ _ _ _ _ _ P2 E2 ltac:(lra) ltac:(lra)).
  pose proof (product_range _ _ _ _ _ _ P3 E3 ltac:(lra) ltac:(lra)).
  pose proof (product_range _ _ _ _ _ _ P4 E4 ltac:(lra) ltac:(lra)).
  assert (Z : partition 5 p (overlapping p p 3 4 0 1)
    = p 0%nat * exp (p 0%nat) + p 1%nat * exp (p 1%nat) + p 2%nat * exp (p 2%nat) + p 3%nat * exp (p 3%nat)
      + p 4%nat * exp (p 4%nat - 1)).
  { unfold partition, mean. cbn [sum]. rewrite D4, !D by lia. ring. }
  refine (conj _ (conj _ (conj _ _))).
  1-3: unfold alpha, growth; rewrite Z, D by lia; apply quotient_near; lra.
  intros i Hi. unfold alpha.
  rewrite (growth_ext 5 p _ (both_signs p 3 4 1 1 1)) by (lia || (intros; apply full_overlap)).
  rewrite (third_labels_share_a_factor 5 p 3 4 1 1 Hp) by lia.
  rewrite !Rmult_1_r.
  assert (U : 17182/10000 <= exp 1 - 1 <= 17185/10000).
  { enough (27182/10000 <= exp 1 <= 27185/10000) by lra. apply exp_between; unfold eight_terms; lra. }
  assert (V : 632120/1000000 <= 1 - exp (- (1)) <= 632121/1000000) by lra.
  pose proof (product_range _ _ _ _ _ _ P3 U ltac:(lra) ltac:(lra)).
  pose proof (product_range _ _ _ _ _ _ P4 V ltac:(lra) ltac:(lra)).
  apply quotient_near; lra.
Qed.
