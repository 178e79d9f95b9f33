(** Many steps on the same context with frozen features (paper: §3.3; any positive schedule η_t).

    Negative steps: the order of the other labels is frozen, y* stays y*, π_y falls and π_{y*} rises
    at every step, every gap widens, and, with T_t = η_0 + … + η_{t−1} → ∞, everything but the tied
    top labels vanishes at a known rate: the collapse. Positive steps: π_y rises at every step, to 1. *)

From Coq Require Import Reals Lra Lia ZArith.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder NegativeStep PositiveStep.
Local Open Scope R_scope.

(** π after t negative steps on y of sizes η_0, …, η_{t−1}. *)
Fixpoint unlearned (n : nat) (p : nat -> R) (y : nat) (eta : nat -> R) (t : nat) : nat -> R :=
  match t with
  | O => p
  | S u => after_negative n (unlearned n p y eta u) y (eta u)
  end.

(** π after t positive steps. *)
Fixpoint learned (n : nat) (p : nat -> R) (y : nat) (eta : nat -> R) (t : nat) : nat -> R :=
  match t with
  | O => p
  | S u => after_positive n (learned n p y eta u) y (eta u)
  end.

(** The same steps on the logits: z ← z + η·(softmax(z) − e_y). *)
Fixpoint unlearned_logits (n : nat) (z : nat -> R) (y : nat) (eta : nat -> R) (t : nat) : nat -> R :=
  match t with
  | O => z
  | S u => fun i => unlearned_logits n z y eta u i
                    + eta u * (softmax n (unlearned_logits n z y eta u) i - ind i y)
  end.

(** … and z ← z + η·(e_y − softmax(z)). *)
Fixpoint learned_logits (n : nat) (z : nat -> R) (y : nat) (eta : nat -> R) (t : nat) : nat -> R :=
  match t with
  | O => z
  | S u => fun i => learned_logits n z y eta u i
                    + eta u * (ind i y - softmax n (learned_logits n z y eta u) i)
  end.

(** The steps add up to infinity. *)
Definition diverges (eta : nat -> R) : Prop :=
  forall m, exists k, forall t, (k <= t)%nat -> m <= sum t eta.

Lemma after_ext : forall n p q d e i, (i < n)%nat ->
  (forall j, (j < n)%nat -> p j = q j) -> (forall j, (j < n)%nat -> d j = e j) ->
  after n p d i = after n q e i.
Proof.
  intros n p q d e i Hi P D. unfold after, growth, partition, mean. rewrite (P i Hi), (D i Hi).
  rewrite (sum_ext n (fun j => p j * exp (d j)) (fun j => q j * exp (e j)))
    by (intros; now rewrite P, D). reflexivity.
Qed.

(** The two descriptions of the path agree. *)
Lemma unlearned_of_logits : forall n z y eta t i, (i < n)%nat ->
  softmax n (unlearned_logits n z y eta t) i = unlearned n (softmax n z) y eta t i.
Proof.
  intros n z y eta t. induction t as [|t IH]; intros i Hi; [reflexivity|].
  cbn [unlearned unlearned_logits]. unfold after_negative.
  rewrite softmax_moved by lia. apply after_ext; [assumption | assumption |].
  intros j Hj. unfold negative. now rewrite IH.
Qed.

Lemma learned_of_logits : forall n z y eta t i, (i < n)%nat ->
  softmax n (learned_logits n z y eta t) i = learned n (softmax n z) y eta t i.
Proof.
  intros n z y eta t. induction t as [|t IH]; intros i Hi; [reflexivity|].
  cbn [learned learned_logits]. unfold after_positive.
  rewrite softmax_moved by lia. apply after_ext; [assumption | assumption |].
  intros j Hj. unfold positive. now rewrite IH.
Qed.

(** e^{−x} vanishes along a divergent schedule. *)
Lemma vanishes : forall eta c a, 0 <= c -> 0 < a -> diverges eta ->
  Un_cv (fun t => c * exp (- (sum t eta * a))) 0.
Proof.
  intros eta c a Hc Ha D eps He. destruct (D (c / (a * eps))) as [k Hk].
  exists k. intros t Ht. unfold R_dist. rewrite Rminus_0_r, Rabs_right.
  2: { apply Rle_ge, Rmult_le_pos; [lra | apply Rlt_le, exp_pos]. }
  specialize (Hk t Ht). assert (A : 0 < a * eps) by (now apply Rmult_lt_0_compat).
  apply div_le_inv in Hk; [|assumption].
  assert (0 <= sum t eta).
  { apply (Rmult_le_reg_r (a * eps)); [assumption|]. rewrite Rmult_0_l. lra. }
  assert (0 <= sum t eta * a) by (apply Rmult_le_pos; lra).
  apply Rle_lt_trans with (c * (1 / (1 + sum t eta * a))).
  { apply Rmult_le_compat_l; [lra | now apply exp_neg_le]. }
  replace (c * (1 / (1 + sum t eta * a))) with (c / (1 + sum t eta * a)) by (field; lra).
  apply div_lt; lra.
Qed.

Lemma INR_above : forall x, exists k, x < INR k.
Proof.
  intro x. exists (Z.to_nat (up x)). destruct (archimed x) as [A _].
  destruct (Z_le_gt_dec 0 (up x)) as [L|G].
  - rewrite INR_IZR_INZ, Z2Nat.id by assumption. lra.
  - apply Rlt_le_trans with (IZR (up x)); [lra|]. apply Rle_trans with 0; [|apply pos_INR].
    apply IZR_le. lia.
Qed.

Lemma constant_diverges : forall s, 0 < s -> diverges (fun _ => s).
Proof.
  intros s Hs m. destruct (INR_above (m / s)) as [k Hk].
  apply div_lt_inv in Hk; [|assumption]. exists k. intros t Ht. rewrite sum_const.
  assert (INR k * s <= INR t * s) by (apply Rmult_le_compat_r; [lra | now apply le_INR]). lra.
Qed.

Section Unlearning.
  Variables (n : nat) (p : nat -> R) (y top : nat) (eta : nat -> R).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Htop : runner_up n p y top.
  Hypothesis Heta : forall t, 0 < eta t.

  Let P := unlearned n p y eta.
  Let topn : (top < n)%nat := proj1 Htop.
  Let topy : top <> y := proj1 (proj2 Htop).

  Lemma unlearned_distribution : forall t, distribution n (P t).
  Proof. induction t; [exact Hp | now apply after_distribution]. Qed.

  Lemma unlearned_pos : forall t i, (i < n)%nat -> 0 < P t i.
  Proof. intros t i Hi. now apply (dist_pos n (P t) (unlearned_distribution t)). Qed.

  Lemma unlearned_step : forall t i, P (S t) i = P t i * negative_growth n (P t) y (eta t) i.
  Proof. reflexivity. Qed.

  Lemma order_step : forall t i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
    (P t i < P t j -> P (S t) i < P (S t) j) /\ (P t i = P t j -> P (S t) i = P (S t) j).
  Proof.
    intros t i j Hi Hj Ni Nj. rewrite !unlearned_step.
    pose proof (unlearned_distribution t) as D. split; intro H.
    - apply Rmult_gt_0_lt_compat; [apply (growth_pos n (P t) D) | now apply unlearned_pos | assumption |].
      now apply (growth_order n (P t) y (eta t) D).
    - rewrite H. f_equal. now apply (growth_tie n (P t) y (eta t) D).
  Qed.

  (** The order of the labels other than y is frozen, ties included. *)
  Lemma order_frozen : forall t i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
    (P t i < P t j <-> p i < p j).
  Proof.
    assert (F : forall t i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
      (p i < p j -> P t i < P t j) /\ (p i = p j -> P t i = P t j)).
    { induction t; intros i j Hi Hj Ni Nj; [now split|].
      destruct (IHt i j Hi Hj Ni Nj) as [A B]. destruct (order_step t i j Hi Hj Ni Nj) as [A' B'].
      split; auto. }
    intros t i j Hi Hj Ni Nj. split; [|now apply F]. intro H.
    destruct (Rtotal_order (p i) (p j)) as [L|[E|G]]; [assumption| |].
    - apply (proj2 (F t i j Hi Hj Ni Nj)) in E. lra.
    - apply (proj1 (F t j i Hj Hi Nj Ni)) in G. lra.
  Qed.

  Lemma ties_stay : forall t i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
    p i = p j -> P t i = P t j.
  Proof.
    intros t i j Hi Hj Ni Nj E. induction t; [exact E|]. now apply order_step.
  Qed.

  (** y* stays y*. *)
  Lemma runner_up_stays : forall t, runner_up n (P t) y top.
  Proof.
    intro t. split; [exact topn|]. split; [exact topy|]. intros i Hi N.
    apply Rnot_lt_le. intro L. apply order_frozen in L; try assumption.
    pose proof (proj2 (proj2 Htop) i Hi N). lra.
  Qed.

  (** π_y falls and π_{y*} rises at every step. *)
  Lemma label_keeps_falling : forall t, P (S t) y < P t y.
  Proof.
    intro t. rewrite unlearned_step. pose proof (unlearned_pos t y Hy).
    pose proof (label_falls n (P t) y top (eta t) (unlearned_distribution t) Hy (runner_up_stays t) (Heta t)) as F.
    pose proof (Rmult_lt_compat_l _ _ _ H F). lra.
  Qed.

  Lemma runner_up_keeps_rising : forall t, P t top < P (S t) top.
  Proof.
    intro t. rewrite unlearned_step. pose proof (unlearned_pos t top topn).
    pose proof (runner_up_rises n (P t) y top (eta t) (unlearned_distribution t) Hy (runner_up_stays t) (Heta t)) as F.
    pose proof (Rmult_lt_compat_l _ _ _ H F). lra.
  Qed.

  (** The argmax changes at most once: where y* has caught up, it stays ahead. *)
  Lemma argmax_changes_once : forall t, P t y <= P t top -> P (S t) y < P (S t) top.
  Proof. intros t H. pose proof (label_keeps_falling t). pose proof (runner_up_keeps_rising t). lra. Qed.

  (** Every log-odds among the others grows in favour of the likelier. *)
  Lemma gaps_widen : forall t i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y -> p i < p j ->
    ln (P t j / P t i) < ln (P (S t) j / P (S t) i).
  Proof.
    intros t i j Hi Hj Ni Nj L.
    pose proof (odds_change n (P t) y (eta t) (unlearned_distribution t) j i Hj Hi Nj Ni) as O.
    change (after_negative n (P t) y (eta t)) with (P (S t)) in O.
    apply (order_frozen t i j Hi Hj Ni Nj) in L. pose proof (Heta t).
    assert (0 < eta t * (P t j - P t i)) by (apply Rmult_lt_0_compat; lra). lra.
  Qed.

  Lemma label_at_most_initial : forall t, P t y <= p y.
  Proof. induction t; [apply Rle_refl|]. pose proof (label_keeps_falling t). lra. Qed.

  (** Odds against y grow by η(1 + π_i − π_y), so by at least η(1 − π_y(0)). *)
  Lemma odds_against_label_grow : forall t i, (i < n)%nat -> i <> y ->
    ln (P (S t) i / P (S t) y) - ln (P t i / P t y) = eta t * (1 + P t i - P t y)
    /\ eta t * (1 - p y) <= eta t * (1 + P t i - P t y).
  Proof.
    intros t i Hi N. split.
    - exact (proj1 (odds_change_against_label n (P t) y (eta t) (unlearned_distribution t) Hy (Heta t) i Hi N)).
    - apply Rmult_le_compat_l; [apply Rlt_le, Heta|].
      pose proof (label_at_most_initial t). pose proof (unlearned_pos t i Hi). lra.
  Qed.

  Lemma runner_up_at_least_initial : forall t, p top <= P t top.
  Proof. induction t; [apply Rle_refl|]. pose proof (runner_up_keeps_rising t). lra. Qed.

  (** ** Rates *)

  (** If the gap d_top − d_i is at least η·c at every step, the ratio shrinks like e^{−cT}. *)
  Lemma ratio_decay : forall i c, (i < n)%nat ->
    (forall t, P t i / P t top <= p i / p top ->
       eta t * c <= negative (P t) y (eta t) top - negative (P t) y (eta t) i) -> 0 <= c ->
    forall t, P t i / P t top <= p i / p top * exp (- (sum t eta * c)).
  Proof.
    intros i c Hi G Hc t.
    assert (R0 : 0 < p i / p top) by (apply Rdiv_lt_0_compat; apply (dist_pos n p Hp); assumption).
    induction t as [|t IH].
    - cbn [sum]. rewrite Rmult_0_l, Ropp_0, exp_0. right. unfold P. cbn [unlearned]. ring.
    - assert (S0 : 0 <= sum t eta) by (apply sum_nonneg; intros; apply Rlt_le, Heta).
      assert (L : P t i / P t top <= p i / p top).
      { apply Rle_trans with (1 := IH). rewrite <- (Rmult_1_r (p i / p top)) at 2.
        apply Rmult_le_compat_l; [lra|]. apply exp_nonpos_le_1.
        assert (0 <= sum t eta * c) by (now apply Rmult_le_pos). lra. }
      specialize (G t L). set (d := negative (P t) y (eta t)) in *.
      replace (P (S t) i / P (S t) top) with (P t i / P t top * exp (d i - d top)).
      + cbn [sum]. replace (- ((sum t eta + eta t) * c)) with (- (sum t eta * c) + - (eta t * c)) by ring.
        rewrite exp_plus, <- Rmult_assoc. apply Rmult_le_compat; [| |assumption | apply exp_le; lra].
        * apply Rlt_le, Rdiv_lt_0_compat; now apply unlearned_pos.
        * apply Rlt_le, exp_pos.
      + rewrite !unlearned_step. unfold negative_growth, growth. fold d. rewrite exp_minus.
        pose proof (exp_pos (d top)). pose proof (exp_pos (d i)). pose proof (unlearned_pos t top topn).
        pose proof (partition_pos n (P t) (unlearned_distribution t) d).
        field. repeat split; lra.
  Qed.

  Lemma ratio_value : forall t i, (i < n)%nat -> P t i = P t i / P t top * P t top.
  Proof. intros t i Hi. pose proof (unlearned_pos t top topn). field. lra. Qed.

  (** π_i/π_{y*} ≤ (its first value)·e^{−T(π_{y*}(0) − π_i(0))} for i ≠ y. *)
  Lemma other_decay : forall i t, (i < n)%nat -> i <> y ->
    P t i / P t top <= p i / p top * exp (- (sum t eta * (p top - p i))).
  Proof.
    intros i t Hi N. pose proof (proj2 (proj2 Htop) i Hi N) as B.
    apply ratio_decay; [assumption| |lra]. intros u L. rewrite !negative_other by assumption.
    rewrite <- Rmult_minus_distr_l. apply Rmult_le_compat_l; [apply Rlt_le, Heta|].
    (* π_{y*} − π_i = π_{y*}·(1 − ratio), both factors at least their first values *)
    pose proof (runner_up_at_least_initial u) as T. pose proof (dist_pos n p Hp top topn) as T0.
    rewrite (ratio_value u i Hi).
    replace (p i) with (p i / p top * p top) by (field; lra).
    assert (p i / p top <= 1) by (apply div_le; lra).
    set (r := P u i / P u top) in *. set (r0 := p i / p top) in *.
    replace (p top - r0 * p top) with (p top * (1 - r0)) by ring.
    replace (P u top - r * P u top) with (P u top * (1 - r)) by ring.
    apply Rmult_le_compat; lra.
  Qed.

  (** π_y/π_{y*} ≤ (its first value)·e^{−T(1 + π_{y*}(0) − π_y(0))}. *)
  Lemma label_decay : forall t,
    P t y / P t top <= p y / p top * exp (- (sum t eta * (1 + p top - p y))).
  Proof.
    intro t. pose proof (dist_le_1 n p Hp y Hy). pose proof (dist_pos n p Hp top topn).
    apply ratio_decay; [assumption| |lra]. intros u L.
    rewrite negative_label, negative_other by assumption.
    rewrite <- Rmult_minus_distr_l. apply Rmult_le_compat_l; [apply Rlt_le, Heta|].
    pose proof (runner_up_at_least_initial u). pose proof (label_at_most_initial u). lra.
  Qed.

  (** ** Collapse

      The top labels are those tied with y*; u is their indicator and m their number. If every
      other label is at least δ behind, the mass outside the top labels vanishes like e^{−δT}. *)

  Section Collapse.
    Variables (u : nat -> R) (delta : R).
    Hypothesis Hu : forall i, (i < n)%nat ->
      (i <> y /\ p i = p top /\ u i = 1) \/ (i <> y /\ p i <= p top - delta /\ u i = 0) \/ (i = y /\ u i = 0).
    Hypothesis Hdelta : 0 < delta <= p top.

    Lemma collapse : forall t,
      0 <= 1 - sum n u * P t top
      <= (1 - sum n u * p top) / p top * exp (- (sum t eta * delta)).
    Proof.
      intro t. pose proof (unlearned_distribution t) as D. pose proof (dist_pos n p Hp top topn) as T0.
      assert (S0 : 0 <= sum t eta) by (apply sum_nonneg; intros; apply Rlt_le, Heta).
      assert (E : forall q, distribution n q -> (forall i, (i < n)%nat -> u i = 1 -> q i = q top) ->
        1 - sum n u * q top = sum n (fun i => (1 - u i) * q i)).
      { intros q Dq H. rewrite <- (dist_sum n q Dq) at 1. rewrite <- sum_scal_r, <- sum_minus.
        apply sum_ext. intros i Hi. destruct (Hu i Hi) as [[_ [_ U]]|[[_ [_ U]]|[_ U]]]; rewrite U; try ring.
        rewrite (H i Hi U). ring. }
      rewrite (E (P t) D), (E p Hp).
      2: { intros i Hi U. destruct (Hu i Hi) as [[_ [Q _]]|[[_ [_ U']]|[_ U']]]; lra. }
      2: { intros i Hi U. destruct (Hu i Hi) as [[N [Q _]]|[[_ [_ U']]|[_ U']]]; try lra.
           now apply ties_stay. }
      split.
      { apply sum_nonneg. intros i Hi. pose proof (unlearned_pos t i Hi).
        destruct (Hu i Hi) as [[_ [_ U]]|[[_ [_ U]]|[_ U]]]; rewrite U; lra. }
      rewrite <- sum_div, <- sum_scal_r. apply sum_le. intros i Hi.
      assert (R0 : 0 < p i / p top) by (apply Rdiv_lt_0_compat; [now apply (dist_pos n p Hp) | assumption]).
      assert (M : forall c, delta <= c -> P t i / P t top <= p i / p top * exp (- (sum t eta * c)) ->
        P t i <= p i / p top * exp (- (sum t eta * delta))).
      { intros c Hc L. apply Rle_trans with (P t i / P t top).
        - rewrite (ratio_value t i Hi) at 1. rewrite <- (Rmult_1_r (P t i / P t top)) at 2.
          apply Rmult_le_compat_l; [|now apply (dist_le_1 n (P t) D)].
          apply Rlt_le, Rdiv_lt_0_compat; now apply unlearned_pos.
        - apply Rle_trans with (1 := L). apply Rmult_le_compat_l; [lra|]. apply exp_le.
          apply Ropp_le_contravar. now apply Rmult_le_compat_l. }
      destruct (Hu i Hi) as [[_ [_ U]]|[[N [Q U]]|[Ey U]]]; rewrite U.
      - unfold Rdiv. lra.
      - replace ((1 - 0) * p i / p top) with (p i / p top) by (field; lra).
        replace ((1 - 0) * P t i) with (P t i) by ring.
        apply (M (p top - p i)); [lra | now apply other_decay].
      - replace ((1 - 0) * p i / p top) with (p i / p top) by (field; lra).
        replace ((1 - 0) * P t i) with (P t i) by ring. subst i.
        pose proof (dist_le_1 n p Hp y Hy).
        apply (M (1 + p top - p y)); [lra | apply label_decay].
    Qed.

    (** In the limit the top labels share everything equally; alone, y* takes all. *)
    Lemma collapse_limit : diverges eta -> Un_cv (fun t => P t top) (1 / sum n u).
    Proof.
      intro D.
      assert (M : 1 <= sum n u).
      { apply Rle_trans with (u top).
        - destruct (Hu top topn) as [[_ [_ U]]|[[_ [Q _]]|[E _]]]; [lra | lra | now elim topy].
        - apply (sum_ge_term n u top topn). intros i Hi.
          destruct (Hu i Hi) as [[_ [_ U]]|[[_ [_ U]]|[_ U]]]; rewrite U; lra. }
      pose proof (dist_pos n p Hp top topn) as T0.
      set (c := (1 - sum n u * p top) / p top).
      assert (C0 : 0 <= c).
      { pose proof (collapse 0) as C. cbn [sum] in C. rewrite Rmult_0_l, Ropp_0, exp_0 in C. fold c in C. lra. }
      apply (squeeze_limit _ (fun t => c * exp (- (sum t eta * delta)))).
      - intro t. pose proof (collapse t) as [A B]. fold c in B.
        rewrite Rabs_left1.
        + apply (Rmult_le_reg_l (sum n u)); [lra|].
          replace (sum n u * - (P t top - 1 / sum n u)) with (1 - sum n u * P t top) by (field; lra).
          apply Rle_trans with (1 := B).
          assert (0 <= c * exp (- (sum t eta * delta))) by (apply Rmult_le_pos; [assumption | apply Rlt_le, exp_pos]).
          pose proof (Rmult_le_compat_r _ _ _ H M). lra.
        + apply (Rmult_le_reg_l (sum n u)); [lra|].
          replace (sum n u * (P t top - 1 / sum n u)) with (sum n u * P t top - 1) by (field; lra). lra.
      - now apply vanishes.
    Qed.
  End Collapse.

  (** π_y → 0 whatever the ties. *)
  Lemma label_vanishes : diverges eta -> Un_cv (fun t => P t y) 0.
  Proof.
    intro D. pose proof (dist_pos n p Hp top topn). pose proof (dist_pos n p Hp y Hy).
    pose proof (dist_le_1 n p Hp y Hy).
    apply (squeeze_limit _ (fun t => p y / p top * exp (- (sum t eta * (1 + p top - p y))))).
    - intro t. pose proof (unlearned_pos t y Hy) as Q. rewrite Rminus_0_r, Rabs_right by lra.
      apply Rle_trans with (2 := label_decay t). apply le_div; [now apply unlearned_pos|].
      pose proof (dist_le_1 n (P t) (unlearned_distribution t) top topn).
      rewrite <- (Rmult_1_r (P t y)) at 2. apply Rmult_le_compat_l; lra.
    - apply vanishes; [|lra|assumption]. apply Rlt_le, Rdiv_lt_0_compat; assumption.
  Qed.

  (** ** A unique y* takes all *)

  Section Alone.
    Variable delta : R.
    Hypothesis Hdelta : 0 < delta <= p top.
    Hypothesis Hgap : forall i, (i < n)%nat -> i <> y -> i <> top -> p i <= p top - delta.

    Lemma alone : forall i, (i < n)%nat ->
      (i <> y /\ p i = p top /\ ind i top = 1) \/ (i <> y /\ p i <= p top - delta /\ ind i top = 0)
      \/ (i = y /\ ind i top = 0).
    Proof.
      intros i Hi. destruct (ind_cases i top) as [[E I]|[N I]]; rewrite I.
      - left. subst. now split.
      - right. destruct (Nat.eq_dec i y); [right; now split | left; repeat split; auto].
    Qed.

    Lemma alone_sum : sum n (fun i => ind i top) = 1.
    Proof.
      rewrite (sum_ext n _ (fun i => ind i top * 1)) by (intros; ring). now rewrite sum_ind.
    Qed.

    Lemma collapse_to_one : forall t,
      0 <= 1 - P t top <= (1 - p top) / p top * exp (- (sum t eta * delta)).
    Proof.
      intro t. pose proof (collapse (fun i => ind i top) delta alone Hdelta t) as C.
      now rewrite alone_sum, !Rmult_1_l in C.
    Qed.

    Lemma runner_up_takes_all : diverges eta -> Un_cv (fun t => P t top) 1.
    Proof.
      intro D. pose proof (collapse_limit (fun i => ind i top) delta alone Hdelta D) as C.
      rewrite alone_sum in C. now replace (1 / 1) with 1 in C by field.
    Qed.

    (** Its probability then settles. *)
    Lemma runner_up_slope : diverges eta -> Un_cv (fun t => ln (P (S t) top) - ln (P t top)) 0.
    Proof.
      intro D. pose proof (dist_pos n p Hp top topn) as T0. pose proof (Rinv_0_lt_compat _ T0) as I0.
      apply (squeeze_limit _ (fun t => / p top * (1 - P t top))).
      - intro t. pose proof (unlearned_pos t top topn) as T. pose proof (unlearned_pos (S t) top topn) as T'.
        pose proof (ln_increasing _ _ T (runner_up_keeps_rising t)) as U.
        pose proof (dist_le_1 n (P (S t)) (unlearned_distribution (S t)) top topn) as L1.
        pose proof (dist_le_1 n (P t) (unlearned_distribution t) top topn) as L2.
        pose proof (ln_le _ _ T' L1) as L. rewrite ln_1 in L.
        pose proof (ln_gt_inv _ T) as G. pose proof (runner_up_at_least_initial t) as I.
        assert (Q : 1 / P t top - 1 <= / p top * (1 - P t top)).
        { replace (1 / P t top - 1) with (/ P t top * (1 - P t top)) by (field; lra).
          apply Rmult_le_compat_r; [lra | now apply Rinv_le_contravar]. }
        rewrite Rminus_0_r, Rabs_right; lra.
      - intros eps He. destruct (runner_up_takes_all D (eps * p top)) as [k Hk]; [now apply Rmult_lt_0_compat|].
        exists k. intros t Ht. specialize (Hk t Ht). unfold R_dist in *. rewrite Rminus_0_r.
        pose proof (dist_le_1 n (P t) (unlearned_distribution t) top topn).
        rewrite Rabs_right by (apply Rle_ge, Rmult_le_pos; lra).
        rewrite Rabs_left1 in Hk by lra.
        apply (Rmult_lt_reg_l (p top)); [assumption|].
        replace (p top * (/ p top * (1 - P t top))) with (1 - P t top) by (field; lra). lra.
    Qed.
  End Alone.

  (** The bound with a constant that needs only π_y/π_{y*}; δ may be 0. *)
  Lemma collapse_bound : forall delta, 0 <= delta <= p top ->
    (forall i, (i < n)%nat -> i <> y -> i <> top -> p i <= p top - delta) -> forall t,
    1 - P t top <= (INR n + p y / p top) * exp (- (sum t eta * delta)).
  Proof.
    intros delta [D0 D1] G t. pose proof (dist_pos n p Hp top topn) as T0. pose proof (dist_pos n p Hp y Hy) as Y0.
    assert (R0 : 0 < p y / p top) by (now apply Rdiv_lt_0_compat).
    destruct D0 as [D0|D0].
    - destruct (collapse_to_one delta (conj D0 D1) G t) as [_ C]. apply Rle_trans with (1 := C).
      apply Rmult_le_compat_r; [apply Rlt_le, exp_pos|]. apply div_le; [assumption|].
      replace ((INR n + p y / p top) * p top) with (p y + INR n * p top) by (field; lra).
      enough (1 <= p y + INR n * p top) by lra.
      rewrite <- (dist_sum n p Hp), <- sum_const, <- (sum_ind n y p Hy), <- sum_plus.
      apply sum_le. intros i Hi. destruct (ind_cases i y) as [[E I]|[N I]]; rewrite I; [lra|].
      pose proof (proj2 (proj2 Htop) i Hi N). lra.
    - rewrite <- D0, Rmult_0_r, Ropp_0, exp_0. pose proof (unlearned_pos t top topn).
      assert (1 <= INR n) by (change 1 with (INR 1); apply le_INR; lia). lra.
  Qed.

  (** ** Slopes at the end: per step −s for the others and −2s for y, with a unique y* *)

  Section Slopes.
    Variables (s delta : R).
    Hypothesis Hconst : forall t, eta t = s.
    Hypothesis Hdelta : 0 < delta <= p top.
    Hypothesis Hgap : forall i, (i < n)%nat -> i <> y -> i <> top -> p i <= p top - delta.

    Lemma schedule_diverges : diverges eta.
    Proof.
      intro m. destruct (constant_diverges s (eq_ind _ (fun x => 0 < x) (Heta 0) _ (Hconst 0)) m) as [k Hk].
      exists k. intros t Ht. rewrite (sum_ext t eta (fun _ => s)) by (intros; apply Hconst). now apply Hk.
    Qed.

    Lemma slope_limit : forall i c, (i < n)%nat -> i <> top ->
      (forall t, Rabs (negative (P t) y s i - s * P t top - c) <= 2 * s * (1 - P t top)) ->
      Un_cv (fun t => ln (P (S t) i) - ln (P t i)) c.
    Proof.
      intros i c Hi N B. pose proof (dist_pos n p Hp top topn) as T0.
      assert (Hs : 0 < s) by (rewrite <- (Hconst 0); apply Heta).
      apply (squeeze_limit _ (fun t => (2 * s + / p top) * (1 - P t top))).
      - intro t. pose proof (unlearned_distribution t) as D.
        change (P (S t)) with (after n (P t) (negative (P t) y (eta t))).
        rewrite (ln_after n (P t) D), Hconst by assumption.
        set (d := negative (P t) y s) in *.
        assert (Rt : runner_up n (P t) y top) by apply runner_up_stays.
        pose proof (partition_pos n (P t) D d) as Z0.
        pose proof (partition_below n (P t) y top s D Hy Rt Hs) as U. fold d in U.
        assert (L : P t top * exp (s * P t top) <= partition n (P t) d).
        { rewrite <- (negative_other (P t) y s top) by assumption.
          apply (mean_ge_term n (P t) D (fun j => exp (d j)) top topn). intros. apply Rlt_le, exp_pos. }
        pose proof (unlearned_pos t top topn) as T.
        apply ln_increasing in U; [|assumption]. rewrite ln_exp in U.
        apply ln_le in L; [|apply Rmult_lt_0_compat; [assumption | apply exp_pos]].
        rewrite ln_mult, ln_exp in L by (assumption || apply exp_pos).
        pose proof (ln_gt_inv _ T) as G. pose proof (runner_up_at_least_initial t) as I.
        pose proof (dist_le_1 n (P t) D top topn) as T1.
        assert (Q : 1 / P t top - 1 <= / p top * (1 - P t top)).
        { replace (1 / P t top - 1) with (/ P t top * (1 - P t top)) by (field; lra).
          apply Rmult_le_compat_r; [lra | now apply Rinv_le_contravar]. }
        specialize (B t). fold d in B.
        replace (ln (P t i) + d i - ln (partition n (P t) d) - ln (P t i) - c)
          with ((d i - s * P t top - c) + (s * P t top - ln (partition n (P t) d))) by ring.
        apply Rle_trans with (1 := Rabs_triang _ _).
        rewrite (Rabs_right (s * P t top - ln (partition n (P t) d))) by lra. lra.
      - intros eps He. destruct (runner_up_takes_all delta Hdelta Hgap schedule_diverges (eps / (2 * s + / p top))) as [k Hk].
        { apply Rdiv_lt_0_compat; [assumption|]. pose proof (Rinv_0_lt_compat _ T0). lra. }
        exists k. intros t Ht. specialize (Hk t Ht). unfold R_dist in *. rewrite Rminus_0_r.
        pose proof (Rinv_0_lt_compat _ T0) as I.
        pose proof (dist_le_1 n (P t) (unlearned_distribution t) top topn).
        rewrite Rabs_right by (apply Rle_ge, Rmult_le_pos; lra).
        rewrite Rabs_left1 in Hk by lra. apply lt_div_inv in Hk; lra.
    Qed.

    Lemma others_slope : forall i, (i < n)%nat -> i <> y -> i <> top ->
      Un_cv (fun t => ln (P (S t) i) - ln (P t i)) (- s).
    Proof.
      intros i Hi N M. assert (Hs : 0 < s) by (rewrite <- (Hconst 0); apply Heta).
      apply slope_limit; [assumption..|]. intro t. rewrite negative_other by assumption.
      pose proof (dist_two n (P t) (unlearned_distribution t) i top Hi topn M).
      pose proof (unlearned_pos t i Hi).
      assert (0 <= s * P t i) by (apply Rmult_le_pos; lra).
      assert (s * P t i <= s * (1 - P t top)) by (apply Rmult_le_compat_l; lra).
      rewrite Rabs_right; lra.
    Qed.

    Lemma label_slope : Un_cv (fun t => ln (P (S t) y) - ln (P t y)) (- (2 * s)).
    Proof.
      assert (Hs : 0 < s) by (rewrite <- (Hconst 0); apply Heta).
      assert (M : y <> top) by (intro E; now apply topy).
      apply slope_limit; [assumption..|]. intro t. rewrite negative_label.
      pose proof (dist_two n (P t) (unlearned_distribution t) y top Hy topn M).
      pose proof (unlearned_pos t y Hy).
      assert (0 <= s * P t y) by (apply Rmult_le_pos; lra).
      assert (s * P t y <= s * (1 - P t top)) by (apply Rmult_le_compat_l; lra).
      rewrite Rabs_right; lra.
    Qed.
  End Slopes.
End Unlearning.

(** ** Repeated positive steps *)

Section Learning.
  Variables (n : nat) (p : nat -> R) (y : nat) (eta : nat -> R).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Hn : (2 <= n)%nat.
  Hypothesis Heta : forall t, 0 < eta t.

  Let P := learned n p y eta.

  Lemma learned_distribution : forall t, distribution n (P t).
  Proof. induction t; [exact Hp | now apply after_distribution]. Qed.

  Lemma learned_step : forall t i, P (S t) i = P t i * positive_growth n (P t) y (eta t) i.
  Proof. reflexivity. Qed.

  Lemma learned_pos : forall t i, (i < n)%nat -> 0 < P t i.
  Proof. intros t i Hi. now apply (dist_pos n (P t) (learned_distribution t)). Qed.

  Lemma target_keeps_rising : forall t, P t y < P (S t) y.
  Proof.
    intro t. rewrite learned_step. pose proof (learned_pos t y Hy).
    destruct (runner_up_exists n (P t) y Hn) as [c Hc].
    pose proof (target_rises n (P t) y c (eta t) (learned_distribution t) Hy Hc (Heta t)) as F.
    pose proof (Rmult_lt_compat_l _ _ _ H F). lra.
  Qed.

  (** The strongest competitor of the moment falls. *)
  Lemma competitor_keeps_falling : forall t c, runner_up n (P t) y c -> P (S t) c < P t c.
  Proof.
    intros t c Hc. rewrite learned_step. pose proof (learned_pos t c (proj1 Hc)).
    pose proof (competitor_falls n (P t) y c (eta t) (learned_distribution t) Hy Hc (Heta t)) as F.
    pose proof (Rmult_lt_compat_l _ _ _ H F). lra.
  Qed.

  (** While π_y ≤ 1 − ε the odds against y shrink like e^{−εT}. *)
  Lemma learned_decay : forall eps t i, (i < n)%nat -> i <> y -> 0 <= eps -> P t y <= 1 - eps ->
    P t i / P t y <= p i / p y * exp (- (sum t eta * eps)).
  Proof.
    intros eps t i Hi N He. induction t as [|t IH]; intro B.
    - cbn [sum]. rewrite Rmult_0_l, Ropp_0, exp_0. right. unfold P. cbn [learned]. ring.
    - pose proof (target_keeps_rising t) as R. assert (B' : P t y <= 1 - eps) by lra.
      specialize (IH B'). set (d := positive (P t) y (eta t)) in *.
      replace (P (S t) i / P (S t) y) with (P t i / P t y * exp (d i - d y)).
      + cbn [sum]. replace (- ((sum t eta + eta t) * eps)) with (- (sum t eta * eps) + - (eta t * eps)) by ring.
        rewrite exp_plus, <- Rmult_assoc. apply Rmult_le_compat; [| |assumption|].
        * apply Rlt_le, Rdiv_lt_0_compat; now apply learned_pos.
        * apply Rlt_le, exp_pos.
        * apply exp_le. unfold d. rewrite positive_label, positive_other by assumption.
          pose proof (learned_pos t i Hi). pose proof (Heta t). nra.
      + rewrite !learned_step. unfold positive_growth, growth. fold d. rewrite exp_minus.
        pose proof (exp_pos (d y)). pose proof (exp_pos (d i)). pose proof (learned_pos t y Hy).
        pose proof (partition_pos n (P t) (learned_distribution t) d).
        field. repeat split; lra.
  Qed.

  (** π_y → 1. *)
  Lemma learning_limit : diverges eta -> Un_cv (fun t => P t y) 1.
  Proof.
    intros D eps He.
    pose proof (dist_pos n p Hp y Hy) as Y0.
    assert (C0 : 0 <= (1 - p y) / p y).
    { apply le_div; [assumption|]. pose proof (dist_le_1 n p Hp y Hy). lra. }
    destruct (vanishes eta ((1 - p y) / p y) eps C0 He D eps He) as [k Hk].
    exists k. intros t Ht. unfold R_dist.
    pose proof (dist_le_1 n (P t) (learned_distribution t) y Hy) as L1.
    rewrite Rabs_left1 by lra.
    destruct (Rlt_or_le (1 - eps) (P t y)) as [L|G]; [lra|]. exfalso.
    specialize (Hk t Ht). unfold R_dist in Hk. rewrite Rminus_0_r in Hk.
    apply Rabs_def2 in Hk. destruct Hk as [Hk _].
    enough (1 - P t y <= (1 - p y) / p y * exp (- (sum t eta * eps))) by lra.
    assert (E : forall q, distribution n q -> 1 - q y = sum n (fun i => (1 - ind i y) * q i)).
    { intros q Dq. pose proof (sum_split n y q Hy) as S. rewrite (dist_sum n q Dq) in S. lra. }
    rewrite (E (P t) (learned_distribution t)), (E p Hp), <- sum_div, <- sum_scal_r.
    apply sum_le. intros i Hi. destruct (ind_cases i y) as [[_ I]|[N I]]; rewrite I.
    - unfold Rdiv. lra.
    - replace ((1 - 0) * p i / p y) with (p i / p y) by (field; lra).
      replace ((1 - 0) * P t i) with (P t i) by ring.
      pose proof (learned_decay eps t i Hi N) as Q. pose proof (learned_pos t y Hy) as T.
      apply Rle_trans with (P t i / P t y); [|apply Q; lra].
      apply le_div; [assumption|]. rewrite <- (Rmult_1_r (P t i)) at 2.
      apply Rmult_le_compat_l; [|assumption]. now apply Rlt_le, learned_pos.
  Qed.
End Learning.
