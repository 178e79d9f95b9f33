(** What a smaller π_y changes, and what a peakier π changes (paper: §3.3 and App. E, Claim 4).

    "Lighter": p has less of y than q, the other labels in the same proportions; then q_i = l·p_i for
    i ≠ y with some 0 < l < 1. Proved: the lighter y is, the more labels lose, the more they lose
    against y*, the larger y*'s share of the rest, the smaller α_y; and, up to π_y = 1/2, the
    smaller the growth of all labels other than y and y* together. That α_{y*} itself grows is false
    (CounterExamples.v). "Transfer": mass moves between y and one other label. "Peakier": the mass
    off y is tilted towards its likelier labels. *)

From Coq Require Import Reals Lra Lia.
From Ldyn Require Import Sums Calculus Softmax Adaptation Remainder NegativeStep.
Open Scope R_scope.

(** p has less of y than q, and the others in the same proportions. *)
Definition lighter (n y : nat) (p q : nat -> R) : Prop :=
  p y < q y /\ forall i, (i < n)%nat -> i <> y -> p i * (1 - q y) = q i * (1 - p y).

(** Together, the labels other than y and t grow by this factor. *)
Definition rest_growth (n : nat) (p : nat -> R) (y t : nat) (s : R) : R :=
  (1 - after_negative n p y s y - after_negative n p y s t) / (1 - p y - p t).

(** 1/α_i, with the term of y set apart. *)
Lemma inverse_growth_split : forall n p y s i, distribution n p -> (y < n)%nat -> i <> y ->
  1 / negative_growth n p y s i
  = p y * exp (- (s * (1 - p y + p i))) + sum n (fun j => (1 - ind j y) * (p j * exp (s * (p j - p i)))).
Proof.
  intros n p y s i Hp Hy N. unfold negative_growth. rewrite (inverse_growth n p _ i Hp).
  unfold mean. rewrite (sum_split n y _ Hy). f_equal.
  - rewrite negative_label, negative_other by assumption. do 2 f_equal. ring.
  - apply sum_ext. intros j Hj. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [ring|].
    rewrite !negative_other by assumption. do 3 f_equal. ring.
Qed.

Lemma inverse_label_growth_split : forall n p y s, distribution n p -> (y < n)%nat ->
  1 / negative_growth n p y s y
  = p y + sum n (fun j => (1 - ind j y) * (p j * exp (s * (p j + (1 - p y))))).
Proof.
  intros n p y s Hp Hy. unfold negative_growth. rewrite (inverse_growth n p _ y Hp).
  unfold mean. rewrite (sum_split n y _ Hy). f_equal.
  - replace (negative p y s y - negative p y s y) with 0 by ring. rewrite exp_0. ring.
  - apply sum_ext. intros j Hj. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [ring|].
    rewrite negative_label, !negative_other by assumption. do 3 f_equal. ring.
Qed.

Lemma sum_others : forall n p y, distribution n p -> (y < n)%nat ->
  sum n (fun j => (1 - ind j y) * p j) = 1 - p y.
Proof. intros n p y Hp Hy. pose proof (sum_split n y p Hy) as S. rewrite (dist_sum n p Hp) in S. lra. Qed.

(** ** Fixed proportions *)

(** π with π_y = e instead, the others in their proportions: (1 − e)·π_i/(1 − π_y). *)
Definition reweighted (p : nat -> R) (y : nat) (e : R) (i : nat) : R :=
  if Nat.eqb i y then e else (1 - e) * (p i / (1 - p y)).

(** The logits that do this: only y's differs. *)
Definition relabelled (n : nat) (z : nat -> R) (y : nat) (e : R) (i : nat) : R :=
  if Nat.eqb i y then ln (sum n (fun j => (1 - ind j y) * exp (z j))) + ln (e / (1 - e)) else z i.

Lemma reweighted_label : forall p y e, reweighted p y e y = e.
Proof. intros. unfold reweighted. now rewrite Nat.eqb_refl. Qed.

Lemma reweighted_other : forall p y e i, i <> y -> reweighted p y e i = (1 - e) * (p i / (1 - p y)).
Proof. intros p y e i N. unfold reweighted. apply Nat.eqb_neq in N. now rewrite N. Qed.

Section Reweighted.
  Variables (n : nat) (p : nat -> R) (y : nat).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Hn : (2 <= n)%nat.

  Lemma label_below_one : p y < 1.
  Proof.
    destruct (runner_up_exists n p y Hn) as [t [Ht [D _]]]. apply (dist_lt_1 n p Hp y t); auto.
  Qed.

  Lemma reweighted_distribution : forall e, 0 < e < 1 -> distribution n (reweighted p y e).
  Proof.
    intros e He. pose proof label_below_one as L. split.
    - intros i Hi. destruct (Nat.eq_dec i y) as [E|N]; [subst i; rewrite reweighted_label; lra|].
      rewrite reweighted_other by assumption. pose proof (dist_pos n p Hp i Hi).
      apply Rmult_lt_0_compat; [lra | apply Rdiv_lt_0_compat; lra].
    - rewrite (sum_split n y _ Hy), reweighted_label.
      rewrite (sum_ext n _ (fun j => (1 - e) / (1 - p y) * ((1 - ind j y) * p j))).
      + rewrite sum_scal, (sum_others n p y Hp Hy). field. lra.
      + intros j _. destruct (ind_cases j y) as [[_ I]|[N I]]; rewrite I; [ring|].
        rewrite reweighted_other by assumption. field. lra.
  Qed.

  Lemma reweighted_lighter : forall e f, e < f -> lighter n y (reweighted p y e) (reweighted p y f).
  Proof.
    intros e f L. split; [now rewrite !reweighted_label|].
    intros i _ N. rewrite !reweighted_label, !reweighted_other by assumption. ring.
  Qed.
End Reweighted.

Lemma softmax_relabelled : forall n z y e i, (y < n)%nat -> (2 <= n)%nat -> (i < n)%nat -> 0 < e < 1 ->
  softmax n (relabelled n z y e) i = reweighted (softmax n z) y e i.
Proof.
  intros n z y e i Hy Hn Hi He. set (R := sum n (fun j => (1 - ind j y) * exp (z j))).
  assert (P : 0 < R).
  { destruct (runner_up_exists n z y Hn) as [t [Ht [D _]]]. apply (sum_pos n _ t Ht).
    - intros j _. pose proof (exp_pos (z j)). destruct (ind_cases j y) as [[_ I]|[_ I]]; rewrite I; lra.
    - rewrite ind_other by assumption. pose proof (exp_pos (z t)). lra. }
  assert (T : sum n (fun j => exp (z j)) = exp (z y) + R) by (exact (sum_split n y (fun j => exp (z j)) Hy)).
  assert (Wy : exp (relabelled n z y e y) = R * (e / (1 - e))).
  { unfold relabelled. rewrite Nat.eqb_refl. fold R.
    rewrite exp_plus, !exp_ln; [reflexivity | apply Rdiv_lt_0_compat; lra | assumption]. }
  assert (Wo : forall j, j <> y -> relabelled n z y e j = z j).
  { intros j N. unfold relabelled. apply Nat.eqb_neq in N. now rewrite N. }
  assert (TW : sum n (fun j => exp (relabelled n z y e j)) = R / (1 - e)).
  { rewrite (sum_split n y _ Hy), Wy. rewrite (sum_ext n _ (fun j => (1 - ind j y) * exp (z j))).
    - fold R. field. lra.
    - intros j _. destruct (ind_cases j y) as [[_ I]|[N I]]; rewrite I; [ring | now rewrite Wo]. }
  pose proof (exp_pos (z y)). unfold softmax at 1. rewrite TW. destruct (Nat.eq_dec i y) as [E|N].
  - subst i. rewrite Wy, reweighted_label. field. lra.
  - rewrite (Wo i N), reweighted_other by assumption. unfold softmax. rewrite T. field. repeat split; lra.
Qed.

(** The growth at π_y = e is that of the logits with π_y = e. *)
Lemma reweighted_of_logits : forall n z y e s i, (y < n)%nat -> (2 <= n)%nat -> (i < n)%nat -> 0 < e < 1 ->
  let w := relabelled n z y e in
  softmax n (fun j => w j + negative (softmax n w) y s j) i
  = softmax n w i * negative_growth n (reweighted (softmax n z) y e) y s i.
Proof.
  intros n z y e s i Hy Hn Hi He w. rewrite softmax_moved by lia. unfold after. f_equal.
  assert (E : forall j, (j < n)%nat -> softmax n w j = reweighted (softmax n z) y e j)
    by (intros; now apply softmax_relabelled).
  unfold negative_growth, growth, partition, mean, negative. rewrite (E i Hi). f_equal.
  apply sum_ext. intros j Hj. now rewrite (E j Hj).
Qed.

(** α_i/α_j in the proportions c of the labels other than y. *)
Lemma relative_growth : forall n p y c s i j, distribution n p -> (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y ->
  (forall k, (k < n)%nat -> k <> y -> p k = (1 - p y) * c k) ->
  negative_growth n p y s i / negative_growth n p y s j = exp (s * (1 - p y) * (c i - c j)).
Proof.
  intros n p y c s i j Hp Hi Hj Ni Nj C. unfold negative_growth, growth.
  rewrite !negative_other, (C i Hi Ni), (C j Hj Nj) by assumption.
  replace (s * (1 - p y) * (c i - c j)) with (s * ((1 - p y) * c i) - s * ((1 - p y) * c j)) by ring.
  rewrite exp_minus. pose proof (partition_pos n p Hp (negative p y s)).
  pose proof (exp_pos (s * ((1 - p y) * c j))). field. lra.
Qed.

Section Lighter.
  Variables (n y : nat) (p q : nat -> R) (s : R).
  Hypothesis Hp : distribution n p.
  Hypothesis Hq : distribution n q.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Hn : (2 <= n)%nat.
  Hypothesis Hl : lighter n y p q.
  Hypothesis Hs : 0 < s.

  Let l := (1 - q y) / (1 - p y).

  Lemma below_one : p y < 1 /\ q y < 1.
  Proof.
    destruct (runner_up_exists n p y Hn) as [t [Ht [D _]]].
    split; [apply (dist_lt_1 n p Hp y t) | apply (dist_lt_1 n q Hq y t)]; auto.
  Qed.

  Lemma scale_range : 0 < l < 1.
  Proof.
    destruct below_one. destruct Hl as [L _]. unfold l.
    split; [apply Rdiv_lt_0_compat; lra | apply div_lt; lra].
  Qed.

  Lemma scaled : forall i, (i < n)%nat -> i <> y -> q i = l * p i.
  Proof.
    intros i Hi N. destruct below_one. destruct Hl as [_ L]. specialize (L i Hi N).
    unfold l. replace ((1 - q y) / (1 - p y) * p i) with (p i * (1 - q y) / (1 - p y)) by (field; lra).
    rewrite L. field. lra.
  Qed.

  Lemma scaled_label : 1 - q y = l * (1 - p y).
  Proof. destruct below_one. unfold l. field. lra. Qed.

  (** A label that does not gain with the heavier y loses with the lighter one: each label crosses
      α = 1 at most once. By Bernoulli the others' excess is superlinear in l, y's part sublinear. *)
  Lemma losers_grow_as_label_shrinks : forall i, (i < n)%nat -> i <> y ->
    negative_growth n q y s i <= 1 -> negative_growth n p y s i < 1.
  Proof.
    intros i Hi N H. pose proof scale_range as R. destruct below_one as [P1 Q1].
    pose proof (dist_pos n p Hp) as P. pose proof (growth_pos n q Hq (negative q y s) i) as G.
    set (m := fun l => sum n (fun j => (1 - ind j y) * (p j * (exp (s * (l * (p j - p i))) - 1)))).
    set (e := fun l => 1 - exp (- (s * (l * (1 - p y + p i))))).
    assert (Eq : 1 / negative_growth n q y s i = 1 + l * m l - q y * e l).
    { rewrite (inverse_growth_split n q y s i Hq Hy N). unfold m, e. rewrite <- sum_scal.
      rewrite (scaled i Hi N), scaled_label, <- Rmult_plus_distr_l.
      rewrite (sum_ext n _ (fun j => l * ((1 - ind j y) * (p j * (exp (s * (l * (p j - p i))) - 1)))
                                     + l * ((1 - ind j y) * p j))).
      - rewrite sum_plus, (sum_scal n l (fun j => (1 - ind j y) * p j)), (sum_others n p y Hp Hy).
        pose proof scaled_label. lra.
      - intros j Hj. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [ring|].
        rewrite (scaled j Hj M), <- Rmult_minus_distr_l. ring. }
    assert (Ep : 1 / negative_growth n p y s i = 1 + m 1 - p y * e 1).
    { rewrite (inverse_growth_split n p y s i Hp Hy N). unfold m, e. rewrite !Rmult_1_l.
      rewrite (sum_ext n (fun j => (1 - ind j y) * (p j * (exp (s * (1 * (p j - p i))) - 1)))
                 (fun j => (1 - ind j y) * (p j * exp (s * (p j - p i))) - (1 - ind j y) * p j))
        by (intros; rewrite Rmult_1_l; ring).
      rewrite sum_minus, (sum_others n p y Hp Hy). ring. }
    assert (Bm : m l <= l * m 1).
    { unfold m. rewrite <- sum_scal. apply sum_le. intros j Hj.
      destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [lra|].
      pose proof (bernoulli l (s * (1 * (p j - p i)))) as B.
      replace (l * (s * (1 * (p j - p i)))) with (s * (l * (p j - p i))) in B by ring.
      specialize (P j Hj). assert (0 <= l <= 1) by lra. specialize (B H0).
      assert (p j * (exp (s * (l * (p j - p i))) - 1) <= p j * (l * (exp (s * (1 * (p j - p i))) - 1)))
        by (apply Rmult_le_compat_l; lra). lra. }
    assert (Be : l * e 1 <= e l).
    { unfold e. pose proof (bernoulli l (- (s * (1 * (1 - p y + p i))))) as B.
      replace (l * - (s * (1 * (1 - p y + p i)))) with (- (s * (l * (1 - p y + p i)))) in B by ring.
      lra. }
    assert (E1 : 0 < e 1).
    { unfold e. pose proof (exp_neg_lt_1 (- (s * (1 * (1 - p y + p i))))). specialize (P i Hi).
      assert (0 < s * (1 * (1 - p y + p i))) by (apply Rmult_lt_0_compat; lra). lra. }
    assert (I : 1 <= 1 / negative_growth n q y s i).
    { apply le_div; [exact G | rewrite Rmult_1_l; assumption]. }
    assert (L : p y < q y) by apply Hl.
    pose proof (P y Hy) as Py.
    assert (A : q y * e 1 <= l * m 1).
    { apply (Rmult_le_reg_l l); [lra|].
      apply Rle_trans with (l * m l); [|apply Rmult_le_compat_l; lra].
      apply Rle_trans with (q y * e l); [|lra].
      replace (l * (q y * e 1)) with (q y * (l * e 1)) by ring. apply Rmult_le_compat_l; lra. }
    assert (B : p y * e 1 < q y * e 1) by (apply Rmult_lt_compat_r; assumption).
    assert (C : 0 < m 1).
    { apply (Rmult_lt_reg_l l); [lra|]. rewrite Rmult_0_r.
      apply Rlt_le_trans with (q y * e 1); [apply Rmult_lt_0_compat; lra | assumption]. }
    assert (l * m 1 < 1 * m 1) by (apply Rmult_lt_compat_r; lra).
    pose proof (growth_pos n p Hp (negative p y s) i) as G'. fold (negative_growth n p y s i) in G'.
    assert (1 < 1 / negative_growth n p y s i) by lra.
    apply lt_div_inv in H1; lra.
  Qed.

  (** Against a likelier label every label loses more. *)
  Lemma relative_squeeze : forall i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y -> p i < p j ->
    negative_growth n p y s i / negative_growth n p y s j
    < negative_growth n q y s i / negative_growth n q y s j.
  Proof.
    intros i j Hi Hj Ni Nj L. pose proof scale_range as R.
    assert (E : forall r, distribution n r ->
      negative_growth n r y s i / negative_growth n r y s j = exp (s * (r i - r j))).
    { intros r Hr. unfold negative_growth, growth. rewrite !negative_other by assumption.
      pose proof (partition_pos n r Hr (negative r y s)). pose proof (exp_pos (s * r j)).
      rewrite Rmult_minus_distr_l, exp_minus. field. lra. }
    rewrite (E p Hp), (E q Hq), (scaled i Hi Ni), (scaled j Hj Nj).
    apply exp_increasing. apply Rmult_lt_compat_l; [assumption|]. nra.
  Qed.

  (** y* holds a larger share of the mass off y, unless all others are tied. *)
  Lemma runner_up_share : forall t k, runner_up n p y t -> (k < n)%nat -> k <> y -> p k < p t ->
    after_negative n q y s t / (1 - after_negative n q y s y)
    < after_negative n p y s t / (1 - after_negative n p y s y).
  Proof.
    intros t k [Ht [D B]] Hk Nk L. pose proof scale_range as R. pose proof (dist_pos n p Hp) as P.
    pose proof (P t Ht) as Pt. pose proof (P k Hk) as Pk.
    assert (Qt : runner_up n q y t).
    { split; [assumption|]. split; [assumption|]. intros i Hi N. rewrite !scaled by assumption.
      apply Rmult_le_compat_l; [lra | auto]. }
    assert (F : forall r, distribution n r ->
      0 < 1 - after_negative n r y s y /\ 0 < after_negative n r y s t /\
      (1 - after_negative n r y s y) / after_negative n r y s t
      = sum n (fun j => (1 - ind j y) * (r j / r t * exp (s * (r j - r t))))).
    { intros r Hr. pose proof (after_distribution n r Hr (negative r y s)) as A.
      pose proof (dist_lt_1 n _ A y t Hy Ht (fun E => D (eq_sym E))) as A1.
      pose proof (dist_pos n _ A t Ht) as A2. fold (after_negative n r y s) in *.
      split; [unfold after_negative in *; lra|]. split; [exact A2|].
      rewrite <- (sum_others n (after_negative n r y s) y A Hy), <- sum_div.
      apply sum_ext. intros j Hj. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [unfold Rdiv; ring|].
      unfold after_negative, after, growth. rewrite !negative_other by assumption.
      pose proof (partition_pos n r Hr (negative r y s)). pose proof (exp_pos (s * r t)).
      pose proof (dist_pos n r Hr t Ht).
      rewrite Rmult_minus_distr_l, exp_minus. field. repeat split; lra. }
    destruct (F p Hp) as [Ap [Bp Ep]]. destruct (F q Hq) as [Aq [Bq Eq]].
    assert (I : (1 - after_negative n p y s y) / after_negative n p y s t
                < (1 - after_negative n q y s y) / after_negative n q y s t).
    { rewrite Ep, Eq. apply (sum_lt n _ _ k Hk).
      - intros j Hj. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [lra|].
        rewrite !scaled by assumption. replace (l * p j / (l * p t)) with (p j / p t)
          by (field; split; lra).
        assert (0 < p j / p t) by (apply Rdiv_lt_0_compat; auto).
        assert (exp (s * (p j - p t)) <= exp (s * (l * p j - l * p t))).
        { apply exp_le. apply Rmult_le_compat_l; [lra|]. specialize (B j Hj M). nra. }
        assert (p j / p t * exp (s * (p j - p t)) <= p j / p t * exp (s * (l * p j - l * p t)))
          by (apply Rmult_le_compat_l; lra). lra.
      - rewrite (ind_other k y) by assumption. rewrite !scaled by assumption.
        replace (l * p k / (l * p t)) with (p k / p t) by (field; split; lra).
        assert (0 < p k / p t) by (apply Rdiv_lt_0_compat; auto).
        assert (exp (s * (p k - p t)) < exp (s * (l * p k - l * p t))).
        { apply exp_increasing. apply Rmult_lt_compat_l; [lra|]. nra. }
        assert (p k / p t * exp (s * (p k - p t)) < p k / p t * exp (s * (l * p k - l * p t)))
          by (apply Rmult_lt_compat_l; lra). lra. }
    apply lt_div; [assumption|].
    apply (div_lt_inv _ _ _ Bp) in I.
    replace (after_negative n q y s t / (1 - after_negative n q y s y) * (1 - after_negative n p y s y))
      with ((1 - after_negative n p y s y) * (after_negative n q y s t / (1 - after_negative n q y s y)))
      by ring.
    apply Rlt_le_trans with ((1 - after_negative n q y s y) / after_negative n q y s t * after_negative n p y s t
                             * (after_negative n q y s t / (1 - after_negative n q y s y))).
    - apply Rmult_lt_compat_r; [now apply Rdiv_lt_0_compat | assumption].
    - right. field. split; lra.
  Qed.

  (** y itself falls by a larger factor. *)
  Lemma lighter_label_falls_more : negative_growth n p y s y < negative_growth n q y s y.
  Proof.
    pose proof scale_range as R. destruct below_one as [P1 Q1]. pose proof (dist_pos n p Hp) as P.
    destruct (runner_up_exists n p y Hn) as [t [Ht [D _]]].
    apply growth_lt_by_inverse; [assumption..|].
    change (1 / negative_growth n q y s y < 1 / negative_growth n p y s y).
    rewrite !inverse_label_growth_split by assumption.
    assert (E : forall r, distribution n r -> r y + sum n (fun j => (1 - ind j y) * (r j * exp (s * (r j + (1 - r y)))))
       = 1 + sum n (fun j => (1 - ind j y) * (r j * (exp (s * (r j + (1 - r y))) - 1)))).
    { intros r Hr. rewrite (sum_ext n (fun j => (1 - ind j y) * (r j * (exp (s * (r j + (1 - r y))) - 1)))
        (fun j => (1 - ind j y) * (r j * exp (s * (r j + (1 - r y)))) - (1 - ind j y) * r j)) by (intros; ring).
      rewrite sum_minus, (sum_others n r y Hr Hy). ring. }
    rewrite (E p Hp), (E q Hq). apply Rplus_lt_compat_l.
    assert (K : forall j, (j < n)%nat -> j <> y ->
      q j * (exp (s * (q j + (1 - q y))) - 1) < p j * (exp (s * (p j + (1 - p y))) - 1)).
    { intros j Hj M. rewrite (scaled j Hj M), scaled_label, <- Rmult_plus_distr_l.
      specialize (P j Hj). set (c := p j + (1 - p y)). assert (0 < c) by (unfold c; lra).
      assert (0 < s * (l * c)) by (apply Rmult_lt_0_compat; nra).
      assert (s * (l * c) < s * c) by (apply Rmult_lt_compat_l; nra).
      pose proof (exp_pos_gt_1 _ H0). pose proof (exp_increasing _ _ H1).
      apply Rmult_gt_0_lt_compat; nra. }
    apply (sum_lt n _ _ t Ht).
    - intros j Hj. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [lra|].
      specialize (K j Hj M). lra.
    - rewrite (ind_other t y) by assumption. specialize (K t Ht D). lra.
  Qed.
End Lighter.

(** ** The rest together

    With q_i = x·p_i off y, u = 1 − π_y and R the labels other than y and y*,
      1/(growth of R) = x·r + x·T(x) + r·(1 − x·u)/M(x),
    r = Σ_R p_j, T(x) = r·p_t/Σ_R p_j e^{−sx(p_t − p_j)}, M(x) = Σ_R p_j e^{sx(u + p_j)}.
    The middle term grows at least by p_t·Δx. The last has derivative above −u while x·u ≥ 1/2,
    because r·Σ_R p_j e^{a_j}(1 + a_j) < (Σ_R p_j e^{a_j})², pair by pair. *)

Lemma pair_bound : forall a b, 0 < b -> b <= a <= 2 * b ->
  exp a * (1 + a) + exp b * (1 + b) < 2 * (exp a * exp b).
Proof.
  intros a b Hb H. pose proof (exp_pos a) as A. pose proof (exp_pos b) as B.
  assert (E1 : 1 + b < exp b) by (apply exp_ineq1; lra).
  assert (E2 : exp b * (1 + (a - b)) <= exp a).
  { replace (exp a) with (exp b * exp (a - b)) by (rewrite <- exp_plus; f_equal; ring).
    apply Rmult_le_compat_l; [lra | apply exp_ineq1_le]. }
  assert (exp a * (1 + (2 * b - a)) < exp a * (2 * exp b - 1 - a)) by (apply Rmult_lt_compat_l; lra).
  assert (exp b * (1 + (a - b)) * (1 + (2 * b - a)) <= exp a * (1 + (2 * b - a)))
    by (apply Rmult_le_compat_r; lra).
  assert (0 <= (a - b) * (2 * b - a)) by (apply Rmult_le_pos; lra).
  assert (0 <= exp b * ((a - b) * (2 * b - a))) by (apply Rmult_le_pos; lra).
  replace (exp b * (1 + (a - b)) * (1 + (2 * b - a)))
    with (exp b * (1 + b) + exp b * ((a - b) * (2 * b - a))) in H1 by ring.
  lra.
Qed.

Lemma sum_of_pairs_bound : forall n w a c k, (k < n)%nat -> 0 < w k -> 0 < c ->
  (forall i, (i < n)%nat -> 0 <= w i) ->
  (forall i, (i < n)%nat -> 0 < w i -> c <= a i <= 2 * c) ->
  sum n w * sum n (fun j => w j * (exp (a j) * (1 + a j)))
  < sum n (fun j => w j * exp (a j)) * sum n (fun j => w j * exp (a j)).
Proof.
  intros n w a c k Hk Wk Hc W A.
  assert (S : sum n (fun i => sum n (fun j => w i * w j * (2 * (exp (a i) * exp (a j))
              - exp (a i) * (1 + a i) - exp (a j) * (1 + a j))))
    = 2 * (sum n (fun j => w j * exp (a j)) * sum n (fun j => w j * exp (a j))
           - sum n w * sum n (fun j => w j * (exp (a j) * (1 + a j))))).
  { rewrite (sum_ext n _ (fun i => 2 * (w i * exp (a i)) * sum n (fun j => w j * exp (a j))
                                   - w i * (exp (a i) * (1 + a i)) * sum n w
                                   - w i * sum n (fun j => w j * (exp (a j) * (1 + a j))))).
    - rewrite !sum_minus, !sum_scal_r.
      rewrite (sum_scal n 2 (fun i => w i * exp (a i))). ring.
    - intros i Hi.
      rewrite (sum_ext n _ (fun j => 2 * (w i * exp (a i)) * (w j * exp (a j))
                                     - w i * (exp (a i) * (1 + a i)) * w j
                                     - w i * (w j * (exp (a j) * (1 + a j))))) by (intros; ring).
      now rewrite !sum_minus, !sum_scal. }
  assert (T : forall i j, (i < n)%nat -> (j < n)%nat -> 0 < w i -> 0 < w j ->
    0 < 2 * (exp (a i) * exp (a j)) - exp (a i) * (1 + a i) - exp (a j) * (1 + a j)).
  { intros i j Hi Hj Wi Wj. pose proof (A i Hi Wi). pose proof (A j Hj Wj).
    destruct (Rle_or_lt (a i) (a j)) as [L|G].
    - pose proof (pair_bound (a j) (a i)). rewrite (Rmult_comm (exp (a i)) (exp (a j))). lra.
    - pose proof (pair_bound (a i) (a j)). lra. }
  enough (0 < sum n (fun i => sum n (fun j => w i * w j * (2 * (exp (a i) * exp (a j))
              - exp (a i) * (1 + a i) - exp (a j) * (1 + a j))))) by lra.
  assert (N : forall i j, (i < n)%nat -> (j < n)%nat ->
    0 <= w i * w j * (2 * (exp (a i) * exp (a j)) - exp (a i) * (1 + a i) - exp (a j) * (1 + a j))).
  { intros i j Hi Hj. destruct (W i Hi) as [Wi|Wi]; [|rewrite <- Wi; lra].
    destruct (W j Hj) as [Wj|Wj]; [|rewrite <- Wj; lra].
    apply Rlt_le, Rmult_lt_0_compat; [now apply Rmult_lt_0_compat | auto]. }
  apply (sum_pos n _ k Hk).
  - intros i Hi. apply sum_nonneg. auto.
  - apply (sum_pos n _ k Hk); [auto|]. apply Rmult_lt_0_compat; [now apply Rmult_lt_0_compat | auto].
Qed.

Section Rest.
  Variables (n y t k : nat) (p : nat -> R) (s : R).
  Hypothesis Hp : distribution n p.
  Hypothesis Hy : (y < n)%nat.
  Hypothesis Ht : runner_up n p y t.
  Hypothesis Hk : (k < n)%nat /\ k <> y /\ k <> t.   (* there is a rest *)
  Hypothesis Hs : 0 < s.

  Let tn : (t < n)%nat := proj1 Ht.
  Let ty : t <> y := proj1 (proj2 Ht).
  Let u := 1 - p y.
  Let w (j : nat) : R := (1 - ind j y) * ((1 - ind j t) * p j).
  Let r := sum n w.
  Let D (x : R) : R := sum n (fun j => w j * exp (- (s * (x * (p t - p j))))).
  Let M (x : R) : R := sum n (fun j => w j * exp (s * (x * (u + p j)))).

  Lemma rest_weight : forall j, (j < n)%nat ->
    (w j = 0) \/ (w j = p j /\ 0 < w j /\ j <> y /\ j <> t).
  Proof.
    intros j Hj. unfold w. destruct (ind_cases j y) as [[E I]|[N I]]; rewrite I; [left; ring|].
    destruct (ind_cases j t) as [[E' I']|[N' I']]; rewrite I'; [left; ring|].
    right. pose proof (dist_pos n p Hp j Hj). repeat split; auto; lra.
  Qed.

  Lemma rest_weight_nonneg : forall j, (j < n)%nat -> 0 <= w j.
  Proof. intros j Hj. destruct (rest_weight j Hj) as [E|[_ [L _]]]; lra. Qed.

  Lemma rest_weight_k : 0 < w k.
  Proof.
    destruct Hk as [K1 [K2 K3]]. unfold w. rewrite !ind_other by assumption.
    pose proof (dist_pos n p Hp k K1). lra.
  Qed.

  (** A sum over all labels is the term of y, that of t and the sum over the rest. *)
  Lemma rest_split : forall f : nat -> R,
    sum n f = f y + f t + sum n (fun j => (1 - ind j y) * ((1 - ind j t) * f j)).
  Proof.
    intro f. rewrite (sum_split n y f Hy).
    rewrite (sum_split n t (fun j => (1 - ind j y) * f j) tn). rewrite (ind_other t y) by assumption.
    rewrite (sum_ext n (fun j => (1 - ind j t) * ((1 - ind j y) * f j))
                       (fun j => (1 - ind j y) * ((1 - ind j t) * f j))) by (intros; ring). ring.
  Qed.

  Lemma rest_mass : r = u - p t /\ 0 < r.
  Proof.
    split.
    - pose proof (rest_split p) as S. rewrite (dist_sum n p Hp) in S. unfold r, w, u. lra.
    - apply (sum_pos n w k); [apply Hk | exact rest_weight_nonneg | exact rest_weight_k].
  Qed.

  Lemma rest_sum_pos : forall f, 0 < sum n (fun j => w j * exp (f j)).
  Proof.
    intro f. apply (sum_pos n _ k).
    - apply Hk.
    - intros j Hj. apply Rmult_le_pos; [now apply rest_weight_nonneg | apply Rlt_le, exp_pos].
    - apply Rmult_lt_0_compat; [exact rest_weight_k | apply exp_pos].
  Qed.

  (** The inverse of the rest's growth in a state with x times the weight of p off y. *)
  Lemma inverse_rest_growth : forall q x, distribution n q -> 0 < x ->
    (forall i, (i < n)%nat -> i <> y -> q i = x * p i) -> 1 - q y = x * u ->
    0 < rest_growth n q y t s /\
    1 / rest_growth n q y t s = x * r + x * (r * p t / D x) + r * (1 - x * u) / M x.
  Proof.
    intros q x Hq Hx E Ey. destruct rest_mass as [R1 R2].
    set (d := negative q y s). set (z := partition n q d).
    pose proof (partition_pos n q Hq d) as Z0. fold z in Z0.
    set (N := sum n (fun j => w j * exp (s * (x * p j)))).
    pose proof (rest_sum_pos (fun j => s * (x * p j))) as N0. cbv beta in N0. fold N in N0.
    assert (Dy : d y = - (s * (x * u))) by (unfold d; rewrite negative_label, <- Ey; ring).
    assert (Dt : d t = s * (x * p t)) by (unfold d; rewrite negative_other, (E t tn ty) by assumption; ring).
    assert (Zv : z = (1 - x * u) * exp (- (s * (x * u))) + x * p t * exp (s * (x * p t)) + x * N).
    { unfold z, partition, mean. rewrite rest_split, Dy, Dt, (E t tn ty). unfold N. rewrite <- sum_scal.
      replace (q y) with (1 - x * u) by lra. f_equal. apply sum_ext. intros j Hj. unfold w.
      destruct (ind_cases j y) as [[_ I]|[A I]]; rewrite I; [ring|].
      destruct (ind_cases j t) as [[_ I']|[A' I']]; rewrite I'; [ring|].
      unfold d. rewrite negative_other, (E j Hj A) by assumption. ring. }
    assert (Gv : rest_growth n q y t s = N / (r * z)).
    { unfold rest_growth, after_negative. fold d.
      pose proof (rest_split (after n q d)) as S. rewrite (dist_sum n _ (after_distribution n q Hq d)) in S.
      replace (1 - after n q d y - after n q d t) with (x * N / z).
      - replace (1 - q y - q t) with (x * r) by (rewrite (E t tn ty), R1; lra). field. repeat split; lra.
      - replace (x * N / z) with (sum n (fun j => (1 - ind j y) * ((1 - ind j t) * after n q d j))); [lra|].
        unfold N. rewrite <- sum_scal, <- sum_div. apply sum_ext. intros j Hj. unfold w.
        destruct (ind_cases j y) as [[_ I]|[A I]]; rewrite I; [unfold Rdiv; ring|].
        destruct (ind_cases j t) as [[_ I']|[A' I']]; rewrite I'; [unfold Rdiv; ring|].
        unfold after, growth. fold z. unfold d. rewrite negative_other, (E j Hj A) by assumption.
        field. lra. }
    assert (Dv : D x = N * exp (- (s * (x * p t)))).
    { unfold D, N. rewrite <- sum_scal_r. apply sum_ext. intros j Hj.
      rewrite Rmult_assoc, <- exp_plus. do 2 f_equal. ring. }
    assert (Mv : M x = N * exp (s * (x * u))).
    { unfold M, N. rewrite <- sum_scal_r. apply sum_ext. intros j Hj.
      rewrite Rmult_assoc, <- exp_plus. do 2 f_equal. ring. }
    split.
    - rewrite Gv. apply Rdiv_lt_0_compat; [assumption | now apply Rmult_lt_0_compat].
    - rewrite Gv, Dv, Mv. replace (1 / (N / (r * z))) with (r * z / N) by (field; repeat split; lra).
      rewrite Zv, !exp_Ropp. pose proof (exp_pos (s * (x * p t))). pose proof (exp_pos (s * (x * u))).
      field. repeat split; lra.
  Qed.

  Lemma M_derivative : forall x,
    derivable_pt_lim M x (sum n (fun j => w j * (exp (s * (x * (u + p j))) * (s * (u + p j))))).
  Proof.
    intro x. unfold M.
    apply (dl_sum n (fun j x => w j * exp (s * (x * (u + p j))))
                    (fun j => w j * (exp (s * (x * (u + p j))) * (s * (u + p j))))).
    intros j Hj. apply (dl_scal (w j) (fun x => exp (s * (x * (u + p j))))).
    apply (dl_exp (fun x => s * (x * (u + p j)))).
    apply (dl_val _ _ (s * (1 * (u + p j) + x * 0))); [|ring].
    apply (dl_scal s (fun x => x * (u + p j))).
    apply (dl_mult (fun x => x) (fun _ => u + p j)); [apply dl_id | apply dl_const].
  Qed.

  Lemma last_term_grows : forall x x', 0 < x -> x < x' -> 1 / 2 <= x * u ->
    x * u + r * (1 - x * u) / M x < x' * u + r * (1 - x' * u) / M x'.
  Proof.
    intros x x' Hx L B. destruct rest_mass as [R1 R2].
    assert (U0 : 0 < u) by (pose proof (dist_pos n p Hp t tn); lra).
    set (M' := fun x => sum n (fun j => w j * (exp (s * (x * (u + p j))) * (s * (u + p j))))).
    apply (grows_strictly (fun x => x * u + r * (1 - x * u) / M x)
      (fun x => (1 * u + x * 0) + (r * (0 - (1 * u + x * 0)) * M x - M' x * (r * (1 - x * u))) / (M x * M x)));
      [assumption| |].
    - intros v Hv.
      assert (DU : derivable_pt_lim (fun x => x * u) v (1 * u + v * 0))
        by (apply (dl_mult (fun x => x) (fun _ => u)); [apply dl_id | apply dl_const]).
      apply (dl_plus (fun x => x * u) (fun x => r * (1 - x * u) / M x)); [exact DU|].
      apply (dl_div (fun x => r * (1 - x * u)) M).
      + apply Rgt_not_eq, rest_sum_pos.
      + apply (dl_scal r (fun x => 1 - x * u)). apply (dl_minus (fun _ => 1) (fun x => x * u)); [apply dl_const | exact DU].
      + apply M_derivative.
    - intros v [V1 V2]. pose proof (rest_sum_pos (fun j => s * (v * (u + p j)))) as M0. cbv beta in M0. fold (M v) in M0.
      assert (V0 : 0 < v) by lra.
      assert (VU : 1 / 2 <= v * u) by (apply Rle_trans with (1 := B); apply Rmult_le_compat_r; lra).
      assert (C : r * (M v + v * M' v) < M v * M v).
      { pose proof (sum_of_pairs_bound n w (fun j => s * (v * (u + p j))) (s * (v * u)) k (proj1 Hk) rest_weight_k) as S.
        fold (M v) in S. fold r in S.
        assert (Es : sum n (fun j => w j * (exp (s * (v * (u + p j))) * (1 + s * (v * (u + p j))))) = M v + v * M' v).
        { unfold M, M'. rewrite <- sum_scal, <- sum_plus. apply sum_ext. intros. ring. }
        cbv beta in S. rewrite Es in S. apply S.
        - apply Rmult_lt_0_compat; [assumption | lra].
        - exact rest_weight_nonneg.
        - intros j Hj Wj. pose proof (dist_pos n p Hp j Hj) as Pj.
          destruct (rest_weight j Hj) as [E|[_ [_ [Nj _]]]]; [lra|].
          pose proof (dist_two n p Hp j y Hj Hy Nj).
          assert (S0 : 0 < s * v) by (now apply Rmult_lt_0_compat).
          assert (u <= u + p j <= 2 * u) as [A1 A2] by (unfold u; lra).
          apply (Rmult_le_compat_l (s * v)) in A1; [|lra]. apply (Rmult_le_compat_l (s * v)) in A2; lra. }
      assert (M1 : 0 <= M' v).
      { apply sum_nonneg. intros j Hj. pose proof (dist_pos n p Hp j Hj).
        apply Rmult_le_pos; [now apply rest_weight_nonneg|].
        apply Rmult_le_pos; [apply Rlt_le, exp_pos | apply Rmult_le_pos; lra]. }
      assert (Q : r * (1 - v * u) * M' v <= u * (r * (v * M' v))).
      { replace (u * (r * (v * M' v))) with (r * (v * u) * M' v) by ring.
        apply Rmult_le_compat_r; [assumption|]. apply Rmult_le_compat_l; lra. }
      pose proof (Rmult_lt_compat_l _ _ _ U0 C) as C'.
      replace (1 * u + v * 0 + (r * (0 - (1 * u + v * 0)) * M v - M' v * (r * (1 - v * u))) / (M v * M v))
        with ((u * (M v * M v) - (r * u * M v + r * (1 - v * u) * M' v)) / (M v * M v)) by (field; lra).
      apply Rdiv_lt_0_compat; [lra | now apply Rmult_lt_0_compat].
  Qed.

  Lemma middle_term_grows : forall x x', 0 < x -> x < x' ->
    x * (r * p t / D x) + (x' - x) * p t <= x' * (r * p t / D x').
  Proof.
    intros x x' Hx L. destruct rest_mass as [R1 R2]. pose proof (dist_pos n p Hp t tn) as Pt.
    assert (D0 : forall v, 0 < D v) by (intro v; apply (rest_sum_pos (fun j => - (s * (v * (p t - p j)))))).
    assert (B : forall j, (j < n)%nat -> 0 < w j -> 0 <= p t - p j).
    { intros j Hj W. destruct (rest_weight j Hj) as [E|[_ [_ [Nj _]]]]; [lra|].
      pose proof (proj2 (proj2 Ht) j Hj Nj). lra. }
    assert (Dd : D x' <= D x).
    { apply sum_le. intros j Hj. destruct (rest_weight_nonneg j Hj) as [W|W]; [|rewrite <- W; lra].
      apply Rmult_le_compat_l; [lra|]. apply exp_le. specialize (B j Hj W).
      apply Ropp_le_contravar. apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_r; lra. }
    assert (Dr : D x' <= r).
    { apply sum_le. intros j Hj. destruct (rest_weight_nonneg j Hj) as [W|W]; [|rewrite <- W; lra].
      rewrite <- (Rmult_1_r (w j)) at 2. apply Rmult_le_compat_l; [lra|]. apply exp_nonpos_le_1.
      specialize (B j Hj W). assert (0 <= s * (x' * (p t - p j)))
        by (apply Rmult_le_pos; [lra | apply Rmult_le_pos; lra]). lra. }
    assert (Rp : 0 < r * p t) by (now apply Rmult_lt_0_compat).
    pose proof (D0 x) as Dx. pose proof (D0 x') as Dx'.
    assert (T1 : r * p t / D x <= r * p t / D x').
    { unfold Rdiv. apply Rmult_le_compat_l; [lra | now apply Rinv_le_contravar]. }
    assert (T2 : p t <= r * p t / D x').
    { apply le_div; [assumption|]. rewrite (Rmult_comm r). apply Rmult_le_compat_l; lra. }
    assert (x * (r * p t / D x) <= x * (r * p t / D x')) by (apply Rmult_le_compat_l; lra).
    assert ((x' - x) * p t <= (x' - x) * (r * p t / D x')) by (apply Rmult_le_compat_l; lra).
    lra.
  Qed.
End Rest.

(** With π_y ≤ 1/2 at the heavier end, the lighter y is, the less the others grow together. *)
Lemma rest_grows_less : forall n y t k p q s, distribution n p -> distribution n q ->
  (y < n)%nat -> runner_up n p y t -> (k < n)%nat /\ k <> y /\ k <> t ->
  lighter n y p q -> q y <= 1 / 2 -> 0 < s ->
  rest_growth n p y t s < rest_growth n q y t s.
Proof.
  intros n y t k p q s Hp Hq Hy Ht Hk Hl Hq2 Hs.
  assert (Hn : (2 <= n)%nat) by (destruct Ht as [A [B _]]; lia).
  set (l := (1 - q y) / (1 - p y)).
  pose proof (scale_range n y p q Hp Hq Hy Hn Hl) as R. fold l in R.
  pose proof (scaled_label n y p q Hp Hq Hy Hn) as E. fold l in E.
  destruct (inverse_rest_growth n y t k p s Hp Hy Ht Hk p 1 Hp) as [Gp Ip];
    [lra | intros; ring | ring |].
  destruct (inverse_rest_growth n y t k p s Hp Hy Ht Hk q l Hq) as [Gq Iq];
    [lra | intros; now apply (scaled n y p q Hp Hq Hy Hn Hl) | exact E |].
  destruct (rest_mass n y t k p Hp Hy Ht Hk) as [R1 R2].
  pose proof (middle_term_grows n y t k p s Hp Hy Ht Hk Hs l 1 (proj1 R) (proj2 R)) as G1.
  assert (B : 1 / 2 <= l * (1 - p y)) by lra.
  pose proof (last_term_grows n y t k p s Hp Hy Ht Hk Hs l 1 (proj1 R) (proj2 R) B) as G2.
  assert (I : 1 / rest_growth n q y t s < 1 / rest_growth n p y t s).
  { rewrite Ip, Iq. set (r := sum n (fun j => (1 - ind j y) * ((1 - ind j t) * p j))) in *.
    assert (l * r + l * p t = l * (1 - p y)) by (rewrite <- Rmult_plus_distr_l; f_equal; lra). lra. }
  apply Rnot_le_lt. intro L. apply Rlt_not_le in I. apply I.
  unfold Rdiv. rewrite !Rmult_1_l. now apply Rinv_le_contravar.
Qed.

(** ** First order, in the proportions of the other labels *)

Lemma norm_in_proportions : forall n p y c, (y < n)%nat -> c y = 0 ->
  (forall j, (j < n)%nat -> j <> y -> p j = (1 - p y) * c j) ->
  norm_sq n p = p y * p y + (1 - p y) * (1 - p y) * norm_sq n c.
Proof.
  intros n p y c Hy Cy E. unfold norm_sq.
  rewrite (sum_split n y (fun j => p j * p j) Hy), <- sum_scal. f_equal.
  apply sum_ext. intros j Hj. destruct (ind_cases j y) as [[Ej I]|[M I]]; rewrite I.
  - subst j. rewrite Cy. ring.
  - rewrite (E j Hj M). ring.
Qed.

(** With π_i = (1 − e)·c_i off y, e = π_y and Q = Σ c_i²: d log α_i/ds at 0 is
    (1 − e)·((1 + Q)·e − (Q − c_i)). *)
Lemma initial_rate : forall n p y c i, distribution n p -> (y < n)%nat -> (i < n)%nat -> i <> y ->
  c y = 0 -> (forall j, (j < n)%nat -> j <> y -> p j = (1 - p y) * c j) ->
  derivable_pt_lim (fun s => ln (negative_growth n p y s i)) 0
    ((1 - p y) * ((1 + norm_sq n c) * p y - (norm_sq n c - c i))).
Proof.
  intros n p y c i Hp Hy Hi N Cy E.
  apply (dl_ext (fun s => - ln (p i) + ln (after n p (fun j => s * (p j - ind j y)) i))).
  { intro s. rewrite (ln_after n p Hp) by assumption. unfold negative_growth.
    rewrite (ln_growth n p Hp). unfold negative. ring. }
  apply (dl_val _ _ (0 + adapt n p (fun j => p j - ind j y) i)).
  - apply (dl_plus (fun _ => - ln (p i))); [apply dl_const | now apply log_softmax_derivative].
  - rewrite (adapt_value n p), mean_minus, (mean_ind n p y Hy), mean_self, ind_other by assumption.
    rewrite (norm_in_proportions n p y c Hy Cy E), (E i Hi N). ring.
Qed.

(** A label with π_y < (Q − c_i)/(1 + Q) loses, at every step size. *)
Lemma initial_losers_fall : forall n p y t c s i, distribution n p -> (y < n)%nat -> runner_up n p y t -> 0 < s ->
  (i < n)%nat -> i <> y -> c y = 0 -> (forall j, (j < n)%nat -> j <> y -> p j = (1 - p y) * c j) ->
  p y < (norm_sq n c - c i) / (1 + norm_sq n c) -> negative_growth n p y s i < 1.
Proof.
  intros n p y t c s i Hp Hy Ht Hs Hi N Cy E L.
  apply (falls_if_below_start n p y t s Hp Hy Ht Hs i N).
  pose proof (norm_sq_nonneg n c) as Q. apply lt_div_inv in L; [|lra].
  pose proof (dist_le_1 n p Hp y Hy). rewrite (norm_in_proportions n p y c Hy Cy E), (E i Hi N).
  assert (0 <= (1 - p y) * (norm_sq n c - c i - p y * (1 + norm_sq n c))) by (apply Rmult_le_pos; lra). lra.
Qed.

(** ** Transfer: mass moves between y and m; third labels keep theirs *)

Lemma transfer_squeeze : forall n p q y m s k, distribution n p -> distribution n q ->
  (y < n)%nat -> (m < n)%nat -> m <> y -> (k < n)%nat -> k <> y -> k <> m -> 0 < s ->
  (forall j, (j < n)%nat -> j <> y -> j <> m -> p j = q j) ->
  p y < q y -> q y <= q m + 1 / 2 ->
  negative_growth n p y s k < negative_growth n q y s k.
Proof.
  intros n p q y m s k Hp Hq Hy Hm My Hk Ky Km Hs E L B.
  pose proof (dist_pos n p Hp y Hy) as Py. pose proof (dist_pos n q Hq m Hm) as Qm.
  set (c := q y + q m).
  set (f := fun x => - (x * exp (s * (x - 1)) + (c - x) * exp (s * (c - x)))).
  assert (Z : forall r, distribution n r -> (forall j, (j < n)%nat -> j <> y -> j <> m -> r j = q j) ->
    r y + r m = c /\ partition n r (negative r y s)
    = - f (r y) + sum n (fun j => (1 - ind j m) * ((1 - ind j y) * (q j * exp (s * q j))))).
  { intros r Hr Er.
    assert (S : forall g, sum n g = g y + g m + sum n (fun j => (1 - ind j m) * ((1 - ind j y) * g j))).
    { intro g. rewrite (sum_split n y g Hy), (sum_split n m (fun j => (1 - ind j y) * g j) Hm).
      rewrite (ind_other m y) by assumption. ring. }
    assert (X : forall g h : nat -> R, (forall j, (j < n)%nat -> j <> y -> j <> m -> g j = h j) ->
      sum n (fun j => (1 - ind j m) * ((1 - ind j y) * g j)) = sum n (fun j => (1 - ind j m) * ((1 - ind j y) * h j))).
    { intros g h H. apply sum_ext. intros j Hj.
      destruct (ind_cases j m) as [[_ I]|[A I]]; rewrite I; [ring|].
      destruct (ind_cases j y) as [[_ I']|[A' I']]; rewrite I'; [ring|]. now rewrite H. }
    assert (C : r y + r m = c).
    { pose proof (S r) as Sr. pose proof (S q) as Sq. rewrite (dist_sum n r Hr) in Sr.
      rewrite (dist_sum n q Hq) in Sq. rewrite (X r q Er) in Sr. unfold c. lra. }
    split; [assumption|]. unfold partition, mean. rewrite S.
    rewrite (X (fun j => r j * exp (negative r y s j)) (fun j => q j * exp (s * q j))).
    - rewrite negative_label, negative_other by assumption. unfold f.
      replace (r m) with (c - r y) by lra. ring.
    - intros j Hj A A'. rewrite negative_other by assumption. now rewrite Er. }
  destruct (Z p Hp E) as [Cp Zp]. destruct (Z q Hq) as [Cq Zq]; [reflexivity|].
  assert (F : f (p y) < f (q y)).
  { apply (grows_strictly f (fun x => - ((1 * exp (s * (x - 1)) + x * (exp (s * (x - 1)) * (s * (1 - 0))))
      + ((0 - 1) * exp (s * (c - x)) + (c - x) * (exp (s * (c - x)) * (s * (0 - 1)))))) _ _ L).
    - intros x Hx. unfold f.
      apply (dl_ext (fun x => 0 - (x * exp (s * (x - 1)) + (c - x) * exp (s * (c - x))))); [intro; ring|].
      apply (dl_val _ _ (0 - ((1 * exp (s * (x - 1)) + x * (exp (s * (x - 1)) * (s * (1 - 0))))
        + ((0 - 1) * exp (s * (c - x)) + (c - x) * (exp (s * (c - x)) * (s * (0 - 1))))))); [|ring].
      apply (dl_minus (fun _ => 0)); [apply dl_const|].
      apply (dl_plus (fun x => x * exp (s * (x - 1))) (fun x => (c - x) * exp (s * (c - x)))).
      + apply (dl_mult (fun x => x) (fun x => exp (s * (x - 1)))); [apply dl_id|].
        apply (dl_exp (fun x => s * (x - 1))). apply (dl_scal s (fun x => x - 1)).
        apply (dl_minus (fun x => x) (fun _ => 1)); [apply dl_id | apply dl_const].
      + assert (DC : derivable_pt_lim (fun x => c - x) x (0 - 1))
          by (apply (dl_minus (fun _ => c) (fun x => x)); [apply dl_const | apply dl_id]).
        apply (dl_mult (fun x => c - x) (fun x => exp (s * (c - x)))); [exact DC|].
        apply (dl_exp (fun x => s * (c - x))). now apply (dl_scal s (fun x => c - x)).
    - (* (1 + sx)·e^{s(x−1)} < (1 + s(c−x))·e^{s(c−x)}, as x − (c − x) ≤ 1/2 *)
      intros x [X1 X2]. set (v := c - x).
      assert (V0 : 0 < v) by (unfold v, c; lra).
      assert (V1 : x - v < 1 / 2) by (unfold v, c; lra).
      assert (SV : 0 < s * v) by (now apply Rmult_lt_0_compat).
      enough ((1 + s * x) * exp (s * (x - 1)) < (1 + s * v) * exp (s * v)) by lra.
      pose proof (dist_le_1 n q Hq y Hy) as Q1. assert (X0 : 0 < x) by lra.
      destruct (Rle_or_lt x v) as [G|G].
      + assert (exp (s * (x - 1)) < exp (s * v)) by (apply exp_increasing, Rmult_lt_compat_l; lra).
        assert (s * x <= s * v) by (apply Rmult_le_compat_l; lra).
        assert (0 < s * x) by (now apply Rmult_lt_0_compat).
        apply Rle_lt_trans with ((1 + s * v) * exp (s * (x - 1))).
        * apply Rmult_le_compat_r; [apply Rlt_le, exp_pos | lra].
        * apply Rmult_lt_compat_l; lra.
      + assert (0 <= s * (x - v)) by (apply Rmult_le_pos; lra).
        assert (0 <= s * v * (s * (x - v))) by (apply Rmult_le_pos; lra).
        apply Rle_lt_trans with ((1 + s * v) * (exp (s * (x - v)) * exp (s * (x - 1)))).
        * rewrite <- Rmult_assoc. apply Rmult_le_compat_r; [apply Rlt_le, exp_pos|].
          apply Rle_trans with ((1 + s * v) * (1 + s * (x - v))); [lra|].
          apply Rmult_le_compat_l; [lra | apply exp_ineq1_le].
        * apply Rmult_lt_compat_l; [lra|]. rewrite <- exp_plus. apply exp_increasing.
          rewrite <- Rmult_plus_distr_l. apply Rmult_lt_compat_l; lra. }
  unfold negative_growth, growth. rewrite !negative_other, (E k Hk Ky Km) by assumption.
  pose proof (partition_pos n q Hq (negative q y s)) as P.
  unfold Rdiv. apply Rmult_lt_compat_l; [apply exp_pos|]. apply Rinv_lt_contravar.
  - apply Rmult_lt_0_compat; [assumption | now apply partition_pos].
  - rewrite Zp, Zq. lra.
Qed.

(** ** Peakier *)

(** q_j = p_j·w_j off y, with w growing along p: the mass off y moves to its likelier labels. *)
Definition peakier (n y : nat) (p q : nat -> R) : Prop :=
  q y = p y /\ exists w,
    (forall j, (j < n)%nat -> j <> y -> q j = p j * w j) /\
    (forall i j, (i < n)%nat -> (j < n)%nat -> i <> y -> j <> y -> p i <= p j -> w i <= w j).

(** x·e^{sx} lies above its tangents. *)
Lemma tangent : forall s a b, 0 <= s -> 0 <= b ->
  a * exp (s * a) + (1 + s * a) * exp (s * a) * (b - a) <= b * exp (s * b).
Proof.
  intros s a b Hs Hb. pose proof (exp_pos (s * a)) as A.
  apply Rle_trans with (b * (exp (s * a) * (1 + s * (b - a)))).
  - assert (0 <= s * ((b - a) * (b - a))) by (apply Rmult_le_pos; [assumption | apply Rle_0_sqr]).
    assert (0 <= exp (s * a) * (s * ((b - a) * (b - a)))) by (apply Rmult_le_pos; lra). lra.
  - apply Rmult_le_compat_l; [assumption|].
    replace (exp (s * b)) with (exp (s * a) * exp (s * (b - a))) by (rewrite <- exp_plus; f_equal; ring).
    apply Rmult_le_compat_l; [lra | apply exp_ineq1_le].
Qed.

(** The least likely label other than y then loses more. *)
Lemma peakier_least_falls_more : forall n y p q s l, distribution n p -> distribution n q ->
  (y < n)%nat -> peakier n y p q -> 0 < s -> (l < n)%nat -> l <> y ->
  (forall j, (j < n)%nat -> j <> y -> p l <= p j) ->
  negative_growth n q y s l <= negative_growth n p y s l.
Proof.
  intros n y p q s l Hp Hq Hy [Ey [w [E W]]] Hs Hl Nl B.
  pose proof (dist_pos n p Hp) as P. pose proof (dist_pos n q Hq) as Q.
  apply growth_le_by_inverse; [assumption..|].
  change (1 / negative_growth n p y s l <= 1 / negative_growth n q y s l).
  rewrite !inverse_growth_split, Ey by assumption.
  (* the least likely label has a weight of at most 1 *)
  assert (Sw : sum n (fun j => (1 - ind j y) * (p j * (w j - 1))) = 0).
  { rewrite (sum_ext n _ (fun j => (1 - ind j y) * q j - (1 - ind j y) * p j)).
    - rewrite sum_minus, !sum_others by assumption. lra.
    - intros j Hj. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [ring|]. rewrite (E j Hj M). ring. }
  assert (Wl : w l <= 1).
  { apply Rnot_lt_le. intro L. enough (0 < sum n (fun j => (1 - ind j y) * (p j * (w j - 1)))) by lra.
    assert (Z : forall j, (j < n)%nat -> j <> y -> 0 < p j * (w j - 1)).
    { intros j Hj M. apply Rmult_lt_0_compat; [auto|]. specialize (W l j Hl Hj Nl M (B j Hj M)). lra. }
    apply (sum_pos n _ l Hl).
    - intros j Hj. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [lra|]. specialize (Z j Hj M). lra.
    - rewrite (ind_other l y) by assumption. specialize (Z l Hl Nl). lra. }
  assert (Ll : q l <= p l).
  { rewrite (E l Hl Nl). rewrite <- (Rmult_1_r (p l)) at 2. apply Rmult_le_compat_l; [apply Rlt_le; auto | assumption]. }
  apply Rplus_le_compat.
  { apply Rmult_le_compat_l; [apply Rlt_le; auto|]. apply exp_le. apply Ropp_le_contravar.
    apply Rmult_le_compat_l; lra. }
  (* the others: tangents, then Chebyshev *)
  assert (F : forall r, sum n (fun j => (1 - ind j y) * (r j * exp (s * (r j - r l))))
    = exp (- (s * r l)) * sum n (fun j => (1 - ind j y) * (r j * exp (s * r j)))).
  { intro r. rewrite <- sum_scal. apply sum_ext. intros j Hj.
    replace (s * (r j - r l)) with (s * r j + - (s * r l)) by ring. rewrite exp_plus. ring. }
  rewrite !F.
  assert (G : sum n (fun j => (1 - ind j y) * (p j * exp (s * p j)))
              <= sum n (fun j => (1 - ind j y) * (q j * exp (s * q j)))).
  { set (v := fun j => (1 - ind j y) * p j). set (g := fun j => (1 + s * p j) * exp (s * p j)).
    assert (C : 0 <= sum n (fun j => v j * (g j * (w j - 1)))).
    { assert (Vp : 0 < sum n v).
      { apply (sum_pos n v l Hl).
        - intros j Hj. unfold v. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [lra|].
          specialize (P j Hj). lra.
        - unfold v. rewrite ind_other by assumption. specialize (P l Hl). lra. }
      apply (Rmult_le_reg_l (sum n v)); [assumption|]. rewrite Rmult_0_r.
      apply Rle_trans with (sum n (fun j => v j * g j) * sum n (fun j => v j * (w j - 1))).
      - rewrite (sum_ext n (fun j => v j * (w j - 1)) (fun j => (1 - ind j y) * (p j * (w j - 1))))
          by (intros; unfold v; ring). rewrite Sw. lra.
      - apply (chebyshev_weights n v g (fun j => w j - 1)).
        + intros j Hj. unfold v. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [lra|].
          specialize (P j Hj). lra.
        + intros i j Hi Hj Vi Vj.
          assert (Ni : i <> y) by (intro X; subst; unfold v in Vi; rewrite ind_same in Vi; lra).
          assert (Nj : j <> y) by (intro X; subst; unfold v in Vj; rewrite ind_same in Vj; lra).
          assert (Gm : forall a b, 0 < a -> a <= b -> (1 + s * a) * exp (s * a) <= (1 + s * b) * exp (s * b)).
          { intros a b Ha Hb. assert (s * a <= s * b) by (apply Rmult_le_compat_l; lra).
            assert (0 < s * a) by (now apply Rmult_lt_0_compat).
            apply Rmult_le_compat; [lra | apply Rlt_le, exp_pos | lra | now apply exp_le]. }
          replace ((g i - g j) * (w i - 1 - (w j - 1))) with ((g i - g j) * (w i - w j)) by ring.
          destruct (Rle_or_lt (p i) (p j)) as [L|L].
          * pose proof (W i j Hi Hj Ni Nj L). pose proof (Gm (p i) (p j) (P i Hi) L). unfold g in *. nra.
          * apply Rlt_le in L. pose proof (W j i Hj Hi Nj Ni L). pose proof (Gm (p j) (p i) (P j Hj) L).
            unfold g in *. nra. }
    apply Rle_trans with (sum n (fun j => (1 - ind j y) * (p j * exp (s * p j))) + sum n (fun j => v j * (g j * (w j - 1))));
      [lra|]. rewrite <- sum_plus. apply sum_le. intros j Hj. unfold v, g.
    destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [lra|].
    pose proof (tangent s (p j) (q j)) as T. specialize (Q j Hj). rewrite (E j Hj M) in *.
    replace ((1 - 0) * (p j * exp (s * p j)) + (1 - 0) * p j * ((1 + s * p j) * exp (s * p j) * (w j - 1)))
      with (p j * exp (s * p j) + (1 + s * p j) * exp (s * p j) * (p j * w j - p j)) by ring.
    rewrite Rminus_0_r, Rmult_1_l. apply T; lra. }
  apply Rmult_le_compat; [apply Rlt_le, exp_pos | | | assumption].
  - apply sum_nonneg. intros j Hj. destruct (ind_cases j y) as [[_ I]|[M I]]; rewrite I; [lra|].
    assert (0 < p j * exp (s * p j)) by (apply Rmult_lt_0_compat; [auto | apply exp_pos]). lra.
  - apply exp_le, Ropp_le_contravar, Rmult_le_compat_l; lra.
Qed.

(** Tempering the labels other than y by a power b ≥ 1 is an instance. *)
Lemma tempered_is_peakier : forall n y p q b c, 1 <= b -> 0 < c ->
  (forall j, (j < n)%nat -> 0 < p j) -> q y = p y ->
  (forall j, (j < n)%nat -> j <> y -> q j = c * Rpower (p j) b) -> peakier n y p q.
Proof.
  intros n y p q b c Hb Hc P Ey E. split; [assumption|].
  exists (fun j => c * exp ((b - 1) * ln (p j))). split.
  - intros j Hj N. rewrite (E j Hj N). unfold Rpower.
    replace (b * ln (p j)) with (ln (p j) + (b - 1) * ln (p j)) by ring.
    rewrite exp_plus, exp_ln by auto. ring.
  - intros i j Hi Hj _ _ L. apply Rmult_le_compat_l; [lra|]. apply exp_le.
    apply Rmult_le_compat_l; [lra | apply ln_le; auto].
Qed.
