(** Variations of the step (paper: §4 and App. E; beyond it): label smoothing, heavy-ball momentum,
    weight decay, and the first RMSprop step. What survives is proved; what does not is in
    CounterExamples.v. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder NegativeStep.
Open Scope R_scope.

(** ** Label smoothing *)

(** Unlearning the smoothed target (1 − ε)e_y + ε/V: s·(π − (1 − ε)e_y − ε/V). *)
Definition smoothed (n : nat) (p : nat -> R) (y : nat) (eps s : R) (i : nat) : R :=
  s * (p i - ((1 - eps) * ind i y + eps / INR n)).

(** The uniform part drops out. *)
Lemma smoothing_shift : forall n p y eps s i, distribution n p -> (i < n)%nat ->
  growth n p (smoothed n p y eps s) i = growth n p (fun j => s * (p j - (1 - eps) * ind j y)) i.
Proof.
  intros n p y eps s i Hp Hi.
  rewrite <- (growth_shift n p (fun j => s * (p j - (1 - eps) * ind j y)) (- (s * (eps / INR n))) i Hp).
  apply growth_ext; [assumption|]. intros j _. unfold smoothed. ring.
Qed.

(** y* rises if π_{y*} > π_y − (1 − ε). *)
Lemma smoothed_runner_up_rises : forall n p y t eps s, distribution n p -> (y < n)%nat ->
  runner_up n p y t -> 0 < s -> p y - (1 - eps) < p t ->
  1 < growth n p (smoothed n p y eps s) t.
Proof.
  intros n p y t eps s Hp Hy [Ht [D B]] Hs H.
  apply (largest_rises n p Hp _ t y Hy).
  - intros i Hi. unfold smoothed. apply Rmult_le_compat_l; [lra|]. rewrite (ind_other t y) by assumption.
    destruct (ind_cases i y) as [[E I]|[N I]]; rewrite I; [subst; lra|]. specialize (B i Hi N). lra.
  - unfold smoothed. apply Rmult_lt_compat_l; [assumption|]. rewrite ind_same, (ind_other t y) by assumption. lra.
Qed.

(** y falls if π_y < 1 − ε + π_j for every other j. *)
Lemma smoothed_label_falls : forall n p y t eps s, distribution n p -> (t < n)%nat -> t <> y -> 0 < s ->
  (forall j, (j < n)%nat -> j <> y -> p y < 1 - eps + p j) ->
  growth n p (smoothed n p y eps s) y < 1.
Proof.
  intros n p y t eps s Hp Ht D Hs H.
  apply (smallest_falls n p Hp _ y t Ht).
  - intros i Hi. unfold smoothed. apply Rmult_le_compat_l; [lra|]. rewrite ind_same.
    destruct (ind_cases i y) as [[E I]|[N I]]; rewrite I; [subst; lra|]. specialize (H i Hi N). lra.
  - unfold smoothed. apply Rmult_lt_compat_l; [assumption|]. rewrite ind_same, (ind_other t y) by assumption.
    specialize (H t Ht D). lra.
Qed.

(** Where the conditions hold with equality, they still do not move the other way. *)
Lemma smoothed_runner_up_does_not_fall : forall n p y t eps s, distribution n p -> runner_up n p y t -> 0 < s ->
  p y - (1 - eps) <= p t -> 1 <= growth n p (smoothed n p y eps s) t.
Proof.
  intros n p y t eps s Hp [Ht [D B]] Hs H. apply (largest_does_not_fall n p Hp).
  intros i Hi. unfold smoothed. apply Rmult_le_compat_l; [lra|]. rewrite (ind_other t y) by assumption.
  destruct (ind_cases i y) as [[E I]|[N I]]; rewrite I; [subst; lra|]. specialize (B i Hi N). lra.
Qed.

Lemma smoothed_label_does_not_rise : forall n p y eps s, distribution n p -> 0 < s ->
  (forall j, (j < n)%nat -> j <> y -> p y <= 1 - eps + p j) -> growth n p (smoothed n p y eps s) y <= 1.
Proof.
  intros n p y eps s Hp Hs H. apply (smallest_does_not_rise n p Hp).
  intros i Hi. unfold smoothed. apply Rmult_le_compat_l; [lra|]. rewrite ind_same.
  destruct (ind_cases i y) as [[E I]|[N I]]; rewrite I; [subst; lra|]. specialize (H i Hi N). lra.
Qed.

(** ** Logits and their softmax *)

Lemma softmax_lt : forall n z i j, (0 < n)%nat -> (softmax n z i < softmax n z j <-> z i < z j).
Proof.
  intros n z i j Hn. assert (P : 0 < sum n (fun j => exp (z j))).
  { apply (sum_pos n _ 0); auto; intros; try apply Rlt_le; apply exp_pos. }
  unfold softmax. split; intro H.
  - apply exp_lt_inv. apply (Rmult_lt_reg_r (/ sum n (fun j => exp (z j)))); [now apply Rinv_0_lt_compat | exact H].
  - now apply div_lt_div; [|apply exp_increasing].
Qed.

Lemma softmax_eq : forall n z i j, z i = z j -> softmax n z i = softmax n z j.
Proof. intros n z i j H. unfold softmax. now rewrite H. Qed.

(** ** Heavy-ball momentum: v ← μv + (π − e_y), z ← z + η·v, from v = 0 *)

Fixpoint heavy_ball (n : nat) (z : nat -> R) (y : nat) (mu : R) (eta : nat -> R) (t : nat) :
  (nat -> R) * (nat -> R) :=
  match t with
  | O => (z, fun _ => 0)
  | S u =>
      let (zu, vu) := heavy_ball n z y mu eta u in
      let v := fun i => mu * vu i + (softmax n zu i - ind i y) in
      (fun i => zu i + eta u * v i, v)
  end.

(** π after t such steps. *)
Definition with_momentum (n : nat) (z : nat -> R) (y : nat) (mu : R) (eta : nat -> R) (t : nat) : nat -> R :=
  softmax n (fst (heavy_ball n z y mu eta t)).

Section Momentum.
  Variables (n : nat) (z : nat -> R) (y top : nat) (mu : R) (eta : nat -> R).
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Htop : runner_up n (softmax n z) y top.
  Hypothesis Hmu : 0 <= mu.
  Hypothesis Heta : forall t, 0 < eta t.

  Let Z (t : nat) := fst (heavy_ball n z y mu eta t).
  Let W (t : nat) := snd (heavy_ball n z y mu eta t).
  Let P := with_momentum n z y mu eta.
  Let topn : (top < n)%nat := proj1 Htop.
  Let topy : top <> y := proj1 (proj2 Htop).

  Lemma momentum_velocity : forall t i, W (S t) i = mu * W t i + (P t i - ind i y).
  Proof.
    intros t i. unfold W, P, with_momentum. cbn [heavy_ball]. destruct (heavy_ball n z y mu eta t) as [zt vt]. reflexivity.
  Qed.

  Lemma momentum_logits : forall t i, Z (S t) i = Z t i + eta t * W (S t) i.
  Proof.
    intros t i. unfold W, Z. cbn [heavy_ball]. destruct (heavy_ball n z y mu eta t) as [zt vt]. reflexivity.
  Qed.

  Lemma momentum_distribution : forall t, distribution n (P t).
  Proof. intro t. apply softmax_distribution. lia. Qed.

  (** Positions and velocities of the labels other than y stay in their first order. *)
  Lemma momentum_order : forall t i j, i <> y -> j <> y ->
    (z i < z j -> Z t i < Z t j /\ W t i <= W t j) /\ (z i = z j -> Z t i = Z t j /\ W t i = W t j).
  Proof.
    intros t i j Ni Nj. assert (Hn : (0 < n)%nat) by lia. induction t as [|t [A B]].
    - split; intro H; (split; [exact H | unfold W; cbn; lra]).
    - split; intro H; rewrite !momentum_logits, !momentum_velocity, !ind_other by assumption.
      + destruct (A H) as [Az Av]. apply (softmax_lt n (Z t) i j Hn) in Az as Ap. change (P t i < P t j) in Ap.
        assert (mu * W t i <= mu * W t j) by (now apply Rmult_le_compat_l).
        assert (eta t * (mu * W t i + (P t i - 0)) < eta t * (mu * W t j + (P t j - 0)))
          by (apply Rmult_lt_compat_l; [apply Heta | lra]). split; lra.
      + destruct (B H) as [Bz Bv]. pose proof (softmax_eq n (Z t) i j Bz) as Bp. change (P t i = P t j) in Bp.
        rewrite Bz, Bv, Bp. now split.
  Qed.

  (** After the first step y is the slowest label. *)
  Lemma momentum_label_slowest : forall t i, (i < n)%nat -> i <> y -> W t y <= W t i /\ W (S t) y < W (S t) i.
  Proof.
    intros t i Hi N.
    assert (F : forall t, P t y - ind y y < P t i - ind i y).
    { intro u. rewrite ind_same, (ind_other i y) by assumption.
      pose proof (dist_pos n (P u) (momentum_distribution u) i Hi).
      pose proof (dist_le_1 n (P u) (momentum_distribution u) y Hy). lra. }
    induction t as [|t [A B]].
    - split; [unfold W; cbn; lra|]. rewrite !momentum_velocity. specialize (F 0%nat). unfold W. cbn [heavy_ball snd]. lra.
    - split; [lra|]. rewrite (momentum_velocity (S t) y), (momentum_velocity (S t) i). specialize (F (S t)).
      assert (mu * W (S t) y <= mu * W (S t) i) by (apply Rmult_le_compat_l; lra). lra.
  Qed.

  Lemma momentum_order_frozen : forall t i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
    (P t i < P t j <-> softmax n z i < softmax n z j).
  Proof.
    intros t i j Hi Hj Ni Nj. assert (Hn : (0 < n)%nat) by lia.
    unfold P, with_momentum. rewrite !softmax_lt by assumption.
    change (Z t i < Z t j <-> z i < z j). split; [|now apply momentum_order].
    intro H. destruct (Rtotal_order (z i) (z j)) as [L|[E|G]]; [assumption| |].
    - apply (proj2 (momentum_order t i j Ni Nj)) in E. lra.
    - apply (proj1 (momentum_order t j i Nj Ni)) in G. lra.
  Qed.

  Lemma momentum_top : forall t i, (i < n)%nat -> i <> y -> W t i <= W t top.
  Proof.
    intros t i Hi N. assert (Hn : (0 < n)%nat) by lia.
    destruct (Rtotal_order (z i) (z top)) as [L|[E|G]].
    - apply (proj1 (momentum_order t i top N topy)) in L. lra.
    - apply (proj2 (momentum_order t i top N topy)) in E. lra.
    - apply (softmax_lt n z top i Hn) in G. pose proof (proj2 (proj2 Htop) i Hi N). lra.
  Qed.

  Lemma momentum_step : forall t i,
    P (S t) i = P t i * growth n (P t) (fun j => eta t * W (S t) j) i.
  Proof.
    intros t i. pose proof (softmax_moved n (Z t) (fun j => eta t * W (S t) j) i) as M.
    unfold P at 1, with_momentum. rewrite (softmax_ext n (Z (S t)) (fun j => Z t j + eta t * W (S t) j)).
    - apply M. lia.
    - intro j. apply momentum_logits.
  Qed.

  (** π_y falls and π_{y*} rises at every step. *)
  Lemma momentum_label_falls : forall t, P (S t) y < P t y.
  Proof.
    intro t. rewrite momentum_step. pose proof (dist_pos n (P t) (momentum_distribution t) y Hy) as Q.
    assert (F : growth n (P t) (fun j => eta t * W (S t) j) y < 1).
    { apply (smallest_falls n (P t) (momentum_distribution t) _ y top topn).
      - intros i Hi. apply Rmult_le_compat_l; [apply Rlt_le, Heta|].
        destruct (Nat.eq_dec i y) as [E|N]; [subst; lra|].
        apply Rlt_le. now apply momentum_label_slowest.
      - apply Rmult_lt_compat_l; [apply Heta|]. now apply momentum_label_slowest. }
    pose proof (Rmult_lt_compat_l _ _ _ Q F). lra.
  Qed.

  Lemma momentum_runner_up_rises : forall t, P t top < P (S t) top.
  Proof.
    intro t. rewrite momentum_step. pose proof (dist_pos n (P t) (momentum_distribution t) top topn) as Q.
    assert (F : 1 < growth n (P t) (fun j => eta t * W (S t) j) top).
    { apply (largest_rises n (P t) (momentum_distribution t) _ top y Hy).
      - intros i Hi. apply Rmult_le_compat_l; [apply Rlt_le, Heta|].
        destruct (Nat.eq_dec i y) as [E|N]; [|now apply momentum_top].
        subst. apply Rlt_le. now apply momentum_label_slowest.
      - apply Rmult_lt_compat_l; [apply Heta|]. now apply momentum_label_slowest. }
    pose proof (Rmult_lt_compat_l _ _ _ Q F). lra.
  Qed.

  (** Every gap of the first order widens, and every label gains on y by at least η(1 + π_i − π_y). *)
  Lemma momentum_odds : forall t i j, (i < n)%nat -> (j < n)%nat ->
    ln (P (S t) i / P (S t) j) - ln (P t i / P t j) = eta t * (W (S t) i - W (S t) j).
  Proof.
    intros t i j Hi Hj. pose proof (odds_after n (P t) (momentum_distribution t) (fun k => eta t * W (S t) k) i j Hi Hj) as O.
    unfold after in O. rewrite <- !momentum_step in O. lra.
  Qed.

  Lemma momentum_gaps_widen : forall t i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
    softmax n z i < softmax n z j -> ln (P t j / P t i) < ln (P (S t) j / P (S t) i).
  Proof.
    intros t i j Hi Hj Ni Nj L. pose proof (momentum_odds t j i Hj Hi) as O.
    pose proof (proj2 (momentum_order_frozen t i j Hi Hj Ni Nj) L) as Lt.
    assert (Hn : (0 < n)%nat) by lia. apply (softmax_lt n z i j Hn) in L.
    destruct (proj1 (momentum_order t i j Ni Nj) L) as [_ V].
    rewrite !momentum_velocity, !ind_other in O by assumption.
    assert (mu * W t i <= mu * W t j) by (now apply Rmult_le_compat_l).
    assert (0 < eta t * (mu * W t j + (P t j - 0) - (mu * W t i + (P t i - 0))))
      by (apply Rmult_lt_0_compat; [apply Heta | lra]). lra.
  Qed.

  Lemma momentum_label_at_most_initial : forall t, P t y <= softmax n z y.
  Proof. induction t; [apply Rle_refl|]. pose proof (momentum_label_falls t). lra. Qed.

  Lemma momentum_odds_against_label : forall t i, (i < n)%nat -> i <> y ->
    eta t * (1 - softmax n z y) <= eta t * (1 + P t i - P t y)
    /\ eta t * (1 + P t i - P t y) <= ln (P (S t) i / P (S t) y) - ln (P t i / P t y).
  Proof.
    intros t i Hi N. pose proof (momentum_label_at_most_initial t).
    pose proof (dist_pos n (P t) (momentum_distribution t) i Hi). split.
    - apply Rmult_le_compat_l; [apply Rlt_le, Heta | lra].
    - rewrite momentum_odds by assumption. apply Rmult_le_compat_l; [apply Rlt_le, Heta|].
      rewrite !momentum_velocity, ind_same, ind_other by assumption.
      destruct (momentum_label_slowest t i Hi N) as [V _].
      assert (mu * W t y <= mu * W t i) by (now apply Rmult_le_compat_l). lra.
  Qed.

  (** y falls by the smallest factor, y* rises by the largest. *)
  Lemma momentum_growth : forall t i, (i < n)%nat ->
    P (S t) i / P t i = growth n (P t) (fun j => eta t * W (S t) j) i.
  Proof.
    intros t i Hi. rewrite momentum_step. pose proof (dist_pos n (P t) (momentum_distribution t) i Hi). field. lra.
  Qed.

  Lemma momentum_label_falls_most : forall t i, (i < n)%nat -> i <> y -> P (S t) y / P t y < P (S t) i / P t i.
  Proof.
    intros t i Hi N. rewrite !momentum_growth by assumption. apply (growth_lt n _ (momentum_distribution t)).
    apply Rmult_lt_compat_l; [apply Heta | now apply momentum_label_slowest].
  Qed.

  Lemma momentum_runner_up_rises_most : forall t i, (i < n)%nat -> P (S t) i / P t i <= P (S t) top / P t top.
  Proof.
    intros t i Hi. rewrite !momentum_growth by assumption. apply (growth_le n _ (momentum_distribution t)).
    apply Rmult_le_compat_l; [apply Rlt_le, Heta|].
    destruct (Nat.eq_dec i y) as [E|N]; [|now apply momentum_top].
    subst. apply Rlt_le. now apply momentum_label_slowest.
  Qed.
End Momentum.

(** ** Weight decay: z ← (1 − κ)z + s·(π − e_y) *)

Definition decayed (n : nat) (z : nat -> R) (y : nat) (kappa s : R) (i : nat) : R :=
  (1 - kappa) * z i + s * (softmax n z i - ind i y).

(** The order of the labels other than y survives. *)
Lemma decay_keeps_order : forall n z y kappa s i j, (0 < n)%nat -> i <> y -> j <> y ->
  0 <= kappa <= 1 -> 0 < s -> z i < z j -> decayed n z y kappa s i < decayed n z y kappa s j.
Proof.
  intros n z y kappa s i j Hn Ni Nj Hk Hs L. unfold decayed. rewrite !ind_other by assumption.
  apply (softmax_lt n z i j Hn) in L as Lp.
  assert ((1 - kappa) * z i <= (1 - kappa) * z j) by (apply Rmult_le_compat_l; lra).
  assert (s * (softmax n z i - 0) < s * (softmax n z j - 0)) by (apply Rmult_lt_compat_l; lra). lra.
Qed.

(** At a fixed point the gaps are z_i − z_j = (s/κ)(v_i − v_j), v = π − e_y. *)
Lemma decay_fixed_point : forall n z y kappa s i j, kappa <> 0 ->
  decayed n z y kappa s i = z i -> decayed n z y kappa s j = z j ->
  z i - z j = s / kappa * (softmax n z i - ind i y - (softmax n z j - ind j y)).
Proof.
  intros n z y kappa s i j Hk Ei Ej. unfold decayed in *.
  apply (Rmult_eq_reg_l kappa); [|assumption].
  replace (kappa * (s / kappa * (softmax n z i - ind i y - (softmax n z j - ind j y))))
    with (s * (softmax n z i - ind i y - (softmax n z j - ind j y))) by (field; assumption). lra.
Qed.

(** The logits after t such steps. *)
Fixpoint decayed_logits (n : nat) (z : nat -> R) (y : nat) (kappa s : R) (t : nat) : nat -> R :=
  match t with
  | O => z
  | S u => decayed n (decayed_logits n z y kappa s u) y kappa s
  end.

(** They stay within max(max |z|, s/κ), so no probability ever vanishes. *)
Lemma decay_never_collapses : forall n z y kappa s b, 0 < kappa <= 1 -> 0 < s -> s / kappa <= b ->
  (forall j, (j < n)%nat -> Rabs (z j) <= b) ->
  forall t i, (i < n)%nat -> exp (- (2 * b)) / INR n <= softmax n (decayed_logits n z y kappa s t) i.
Proof.
  intros n z y kappa s b Hk Hs Hb B t.
  assert (I : forall j, (j < n)%nat -> - b <= decayed_logits n z y kappa s t j <= b).
  { induction t as [|t IH]; intros j Hj; [now apply Rabs_bounds, B|]. cbn [decayed_logits]. unfold decayed.
    set (w := decayed_logits n z y kappa s t) in *. specialize (IH j Hj).
    assert (Hn : (0 < n)%nat) by lia. pose proof (softmax_distribution n w Hn) as D.
    pose proof (dist_pos n _ D j Hj). pose proof (dist_le_1 n _ D j Hj).
    apply div_le_inv in Hb; [|lra].
    assert (- (s * 1) <= s * (softmax n w j - ind j y) <= s * 1).
    { rewrite Ropp_mult_distr_r.
      destruct (ind_cases j y) as [[_ E]|[_ E]]; rewrite E; split; apply Rmult_le_compat_l; lra. }
    assert (- ((1 - kappa) * b) <= (1 - kappa) * w j <= (1 - kappa) * b).
    { rewrite Ropp_mult_distr_r. split; apply Rmult_le_compat_l; lra. }
    lra. }
  intros i Hi. set (w := decayed_logits n z y kappa s t) in *. unfold softmax.
  assert (N : 0 < INR n) by (apply lt_0_INR; lia).
  assert (P : 0 < sum n (fun j => exp (w j))).
  { apply (sum_pos n _ i); auto; intros; try apply Rlt_le; apply exp_pos. }
  apply le_div; [assumption|]. apply Rle_trans with (exp (- (2 * b)) / INR n * (INR n * exp b)).
  - apply Rmult_le_compat_l.
    + apply Rlt_le, Rdiv_lt_0_compat; [apply exp_pos | assumption].
    + rewrite <- sum_const. apply sum_le. intros j Hj. apply exp_le. now apply I.
  - replace (exp (- (2 * b)) / INR n * (INR n * exp b)) with (exp (- (2 * b)) * exp b) by (field; lra).
    rewrite <- exp_plus. apply exp_le. specialize (I i Hi). lra.
Qed.

(** ** The first RMSprop step: every coordinate moves by lr·g/√((1 − a)g²) *)

Definition rmsprop_first (p : nat -> R) (y : nat) (lr a : R) (i : nat) : R :=
  lr * (p i - ind i y) / sqrt ((1 - a) * ((p i - ind i y) * (p i - ind i y))).

Section Rmsprop.
  Variables (n : nat) (p : nat -> R) (y t : nat) (lr a : R).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Ht : (t < n)%nat /\ t <> y.
  Hypothesis Hlr : 0 < lr.
  Hypothesis Ha : a < 1.

  (** It only sees signs: all other logits move alike, y's by the opposite. *)
  Lemma rmsprop_value :
    rmsprop_first p y lr a y = - (lr / sqrt (1 - a)) /\
    forall i, (i < n)%nat -> i <> y -> rmsprop_first p y lr a i = lr / sqrt (1 - a).
  Proof.
    assert (S0 : 0 < sqrt (1 - a)) by (apply sqrt_lt_R0; lra).
    assert (F : forall g, sqrt ((1 - a) * (g * g)) = sqrt (1 - a) * Rabs g).
    { intro g. rewrite sqrt_mult; [|lra | apply Rle_0_sqr]. now rewrite <- (sqrt_Rsqr_abs g). }
    split.
    - unfold rmsprop_first. rewrite F, ind_same.
      pose proof (dist_lt_1 n p Hp y t Hy (proj1 Ht) (fun E => proj2 Ht (eq_sym E))).
      rewrite Rabs_left by lra. field. split; lra.
    - intros i Hi N. unfold rmsprop_first. rewrite F, ind_other by assumption.
      pose proof (dist_pos n p Hp i Hi). rewrite Rabs_right by lra. field. split; lra.
  Qed.

  Lemma rmsprop_label_falls : growth n p (rmsprop_first p y lr a) y < 1.
  Proof.
    destruct rmsprop_value as [A B]. assert (C : 0 < lr / sqrt (1 - a)).
    { apply Rdiv_lt_0_compat; [assumption | apply sqrt_lt_R0; lra]. }
    apply (smallest_falls n p Hp _ y t (proj1 Ht)).
    - intros i Hi. destruct (Nat.eq_dec i y) as [E|N]; [subst; lra|]. rewrite A, (B i Hi N). lra.
    - rewrite A, (B t (proj1 Ht) (proj2 Ht)). lra.
  Qed.

  Lemma rmsprop_others_rise_alike : forall i, (i < n)%nat -> i <> y ->
    1 < growth n p (rmsprop_first p y lr a) i
    /\ growth n p (rmsprop_first p y lr a) i = growth n p (rmsprop_first p y lr a) t.
  Proof.
    intros i Hi N. destruct rmsprop_value as [A B]. assert (C : 0 < lr / sqrt (1 - a)).
    { apply Rdiv_lt_0_compat; [assumption | apply sqrt_lt_R0; lra]. }
    split.
    - apply (largest_rises n p Hp _ i y Hy).
      + intros j Hj. rewrite (B i Hi N). destruct (Nat.eq_dec j y) as [E|M]; [subst; lra|]. rewrite (B j Hj M). lra.
      + rewrite A, (B i Hi N). lra.
    - apply (growth_eq n p Hp). now rewrite (B i Hi N), (B t (proj1 Ht) (proj2 Ht)).
  Qed.

  (** Its size: every logit moves by lr/√(1 − a), 10·lr at a = 0.99. *)
  Lemma rmsprop_size : forall i, (i < n)%nat -> Rabs (rmsprop_first p y lr a i) = lr / sqrt (1 - a).
  Proof.
    intros i Hi. destruct rmsprop_value as [A B]. assert (C : 0 < lr / sqrt (1 - a)).
    { apply Rdiv_lt_0_compat; [assumption | apply sqrt_lt_R0; lra]. }
    destruct (Nat.eq_dec i y) as [E|N].
    - subst i. rewrite A, Rabs_Ropp, Rabs_right; lra.
    - rewrite (B i Hi N), Rabs_right; lra.
  Qed.
End Rmsprop.

(** On the read-out itself, w_{k,i} moves by lr·g/√((1 − a)g²) with g = φ_k·v_i: the logit then moves as by
    the step above with lr·‖φ‖₁. *)
Lemma rmsprop_on_readout : forall m phi p y lr a i, a < 1 -> p i - ind i y <> 0 ->
  sum m (fun k => phi k * (lr * (phi k * (p i - ind i y))
                           / sqrt ((1 - a) * ((phi k * (p i - ind i y)) * (phi k * (p i - ind i y))))))
  = rmsprop_first p y (lr * sum m (fun k => Rabs (phi k))) a i.
Proof.
  intros m phi p y lr a i Ha Hv. unfold rmsprop_first. set (v := p i - ind i y) in *.
  assert (S0 : 0 < sqrt (1 - a)) by (apply sqrt_lt_R0; lra).
  assert (F : forall g, sqrt ((1 - a) * (g * g)) = sqrt (1 - a) * Rabs g).
  { intro g. rewrite sqrt_mult; [|lra | apply Rle_0_sqr]. now rewrite <- (sqrt_Rsqr_abs g). }
  pose proof (Rabs_pos_lt v Hv) as V.
  rewrite (sum_ext m _ (fun k => Rabs (phi k) * (lr * v / (sqrt (1 - a) * Rabs v)))).
  - rewrite sum_scal_r, F. field. split; lra.
  - intros k _. rewrite F, Rabs_mult. destruct (Req_dec (phi k) 0) as [Z|N].
    + rewrite Z, Rabs_R0. ring.
    + pose proof (Rabs_pos_lt _ N) as K.
      assert (Q : phi k * phi k = Rabs (phi k) * Rabs (phi k)).
      { exact (Rsqr_abs (phi k)). }
      replace (phi k * (lr * (phi k * v) / (sqrt (1 - a) * (Rabs (phi k) * Rabs v))))
        with (phi k * phi k * (lr * v / (sqrt (1 - a) * (Rabs (phi k) * Rabs v)))) by (field; repeat split; lra).
      rewrite Q. field. repeat split; lra.
Qed.

(** √(1 − 0.99) = 1/10. *)
Lemma rmsprop_usual_decay : forall c, c / sqrt (1 - 99 / 100) = 10 * c.
Proof.
  intro c. replace (1 - 99 / 100) with (1 / 10 * (1 / 10)) by field. rewrite sqrt_square by lra. field.
Qed.
