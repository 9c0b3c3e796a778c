-- One row per product and month in which it was sold, came back, was reviewed or was looked at.
--
-- Read from roll-ups by month, so it is made anew each time: the rating to date runs over all months.
{% set prior_weight = var('rating_prior_weight', 10) %}

with

months as (

    select * from {{ ref('agg_product_months') }}

),

web as (

    select * from {{ ref('agg_product_web_months') }}

),

reviews as (

    select * from {{ ref('fct_reviews') }}
    where
        is_countable
        {%- if var('rating_verified_only', false) %}
        and is_verified
        {%- endif %}

),

products as (

    select * from {{ ref('dim_products') }}

),

history as (

    select * from {{ ref('dim_products_history') }}

),

-- the document stands for its variants; its name and category are theirs
described as (

    select
        coalesce(product_id, '-1') as product_id,
        min(product_name) as product_name,
        min(brand) as brand,
        min(category) as category,
        min(subcategory) as subcategory
    from products
    group by coalesce(product_id, '-1')

),

review_months as (

    select
        coalesce(products.product_id, '-1') as product_id,
        cast({{ dbt.date_trunc('month', 'reviews.review_date') }} as date) as month_start_date,
        count(*) as review_count,
        sum(reviews.rating) as stars,
        count(case when reviews.rating >= 4 then 1 end) as satisfied_count,
        count(case when reviews.rating = 5 then 1 end) as promoter_count,
        count(case when reviews.rating <= 3 then 1 end) as detractor_count
    from reviews
    inner join products
        on reviews.product_key = products.product_key
    where reviews.review_date is not null
    group by coalesce(products.product_id, '-1'), cast({{ dbt.date_trunc('month', 'reviews.review_date') }} as date)

),

overall as (

    select
        case when sum(review_count) > 0 then sum(stars) / sum(review_count) end as mean_rating
    from review_months

),

keys as (

    select
        product_id,
        month_start_date
    from months

    union

    select
        product_id,
        month_start_date
    from review_months

    union

    select
        product_id,
        month_start_date
    from web

),

-- the lowest list price of its variants at the end of the month
priced as (

    select
        keys.product_id,
        keys.month_start_date,
        min(history.price) as list_price
    from keys
    inner join history
        on
            keys.product_id = history.product_id
            and history.valid_from < {{ dbt.dateadd('month', 1, 'keys.month_start_date') }}
            and (
                history.valid_to >= {{ dbt.dateadd('month', 1, 'keys.month_start_date') }}
                or history.valid_to is null
            )
    group by keys.product_id, keys.month_start_date

),

joined as (

    select
        keys.product_id,
        keys.month_start_date,
        described.product_name,
        described.brand,
        described.category,
        described.subcategory,
        priced.list_price,
        {% for measure in [
            'orders', 'units', 'returned_units', 'gross_sales_amount', 'discount_amount', 'returns_amount',
            'net_sales_amount', 'cogs_amount', 'cohort_units', 'cohort_returned_units', 'cohort_returned_orders',
            'cohort_demand_amount', 'cohort_returns_amount', 'cohort_costed_demand_amount',
            'cohort_gross_profit_amount', 'cohort_contribution_amount',
        ] -%}
        coalesce(months.{{ measure }}, 0) as {{ measure }},
        {% endfor -%}
        {% for measure in ['review_count', 'stars', 'satisfied_count', 'promoter_count', 'detractor_count'] -%}
        coalesce(review_months.{{ measure }}, 0) as {{ measure }},
        {% endfor -%}
        {% for measure in ['viewing_sessions', 'carting_sessions', 'buying_sessions'] -%}
        coalesce(web.{{ measure }}, 0) as {{ measure }}{{ ',' if not loop.last }}
        {% endfor %}
    from keys
    left join described
        on keys.product_id = described.product_id
    left join months
        on
            keys.product_id = months.product_id
            and keys.month_start_date = months.month_start_date
    left join review_months
        on
            keys.product_id = review_months.product_id
            and keys.month_start_date = review_months.month_start_date
    left join web
        on
            keys.product_id = web.product_id
            and keys.month_start_date = web.month_start_date
    left join priced
        on
            keys.product_id = priced.product_id
            and keys.month_start_date = priced.month_start_date

),

running as (

    select
        *,
        sum(review_count) over (
            partition by product_id order by month_start_date asc nulls last
            rows between unbounded preceding and current row
        ) as review_count_to_date,
        sum(stars) over (
            partition by product_id order by month_start_date asc nulls last
            rows between unbounded preceding and current row
        ) as stars_to_date,
        case
            when cohort_demand_amount <> 0 then cohort_costed_demand_amount / cohort_demand_amount
        end as cost_coverage
    from joined

),

final as (

    select
        {{ surrogate_key(['running.product_id', 'running.month_start_date']) }} as product_month_key,
        running.product_id,
        coalesce(running.product_name, running.product_id) as product_name,
        running.brand,
        coalesce(running.category, 'Uncategorised') as category,
        running.subcategory,
        cast(running.orders as {{ dbt.type_int() }}) as orders,
        cast(running.units as {{ type_money() }}) as units,
        cast(running.returned_units as {{ type_money() }}) as returned_units,
        cast(running.gross_sales_amount as {{ type_money() }}) as gross_sales_amount,
        cast(running.discount_amount as {{ type_money() }}) as discount_amount,
        cast(running.returns_amount as {{ type_money() }}) as returns_amount,
        cast(running.net_sales_amount as {{ type_money() }}) as net_sales_amount,
        cast(running.cogs_amount as {{ type_money() }}) as cogs_amount,
        -- where costs are mostly unknown, what is left of the sales is no profit
        cast(
            case
                when coalesce(running.cost_coverage, 1) >= {{ var('least_cost_coverage') }}
                    then running.net_sales_amount - running.cogs_amount
            end as {{ type_money() }}
        ) as gross_profit_amount,
        cast(
            case
                when running.cost_coverage >= {{ var('least_cost_coverage') }} then running.cohort_contribution_amount
                when running.cost_coverage is null and running.cohort_units = 0 then 0
            end as {{ type_money() }}
        ) as contribution_amount,
        cast(
            case
                when running.cost_coverage >= {{ var('least_cost_coverage') }} and running.net_sales_amount <> 0
                    then (running.net_sales_amount - running.cogs_amount) / running.net_sales_amount
            end as numeric(20, 6)
        ) as gross_margin,
        cast(running.cost_coverage as numeric(20, 6)) as cost_coverage,
        cast(
            case
                when running.cohort_units <> 0 then running.cohort_demand_amount / running.cohort_units
            end as {{ type_money() }}
        ) as average_selling_price,
        cast(running.list_price as {{ type_money() }}) as list_price,
        cast(
            case
                when running.gross_sales_amount <> 0 then running.discount_amount / running.gross_sales_amount
            end as numeric(20, 6)
        ) as discount_rate,
        cast(running.cohort_units as {{ type_money() }}) as cohort_units,
        cast(running.cohort_returned_units as {{ type_money() }}) as cohort_returned_units,
        cast(running.cohort_demand_amount as {{ type_money() }}) as cohort_demand_amount,
        cast(running.cohort_returns_amount as {{ type_money() }}) as cohort_returns_amount,
        cast(running.cohort_returned_orders as {{ dbt.type_int() }}) as cohort_returned_orders,
        {% for name, numerator, denominator in [
            ('return_rate', 'cohort_returned_units', 'cohort_units'),
            ('return_rate_by_value', 'cohort_returns_amount', 'cohort_demand_amount'),
            ('return_rate_by_orders', 'cohort_returned_orders', 'orders'),
        ] -%}
        cast(
            case when running.{{ denominator }} <> 0 then running.{{ numerator }} * 1.0 / running.{{ denominator }} end
            as numeric(20, 6)
        ) as {{ name }},
        {% endfor -%}
        cast(running.review_count as {{ dbt.type_int() }}) as review_count,
        cast(running.stars as {{ type_money() }}) as stars,
        cast(running.satisfied_count as {{ dbt.type_int() }}) as satisfied_count,
        cast(running.promoter_count as {{ dbt.type_int() }}) as promoter_count,
        cast(running.detractor_count as {{ dbt.type_int() }}) as detractor_count,
        cast(
            case when running.review_count > 0 then running.stars / running.review_count end as numeric(20, 6)
        ) as average_rating,
        cast(
            case
                when running.review_count > 0 then running.satisfied_count * 1.0 / running.review_count
            end as numeric(20, 6)
        ) as csat,
        cast(
            case
                when running.review_count > 0
                    then (running.promoter_count - running.detractor_count) * 1.0 / running.review_count
            end as numeric(20, 6)
        ) as review_promoter_index,
        cast(running.review_count_to_date as {{ dbt.type_int() }}) as review_count_to_date,
        cast(
            (({{ prior_weight }}) * overall.mean_rating + running.stars_to_date)
            / (({{ prior_weight }}) + running.review_count_to_date) as numeric(20, 6)
        ) as rating_to_date,
        cast(running.viewing_sessions as {{ dbt.type_int() }}) as viewing_sessions,
        cast(running.carting_sessions as {{ dbt.type_int() }}) as carting_sessions,
        cast(running.buying_sessions as {{ dbt.type_int() }}) as buying_sessions,
        {% for name, numerator, denominator in [
            ('view_to_cart_rate', 'carting_sessions', 'viewing_sessions'),
            ('cart_to_purchase_rate', 'buying_sessions', 'carting_sessions'),
        ] -%}
        cast(
            case when running.{{ denominator }} <> 0 then running.{{ numerator }} * 1.0 / running.{{ denominator }} end
            as numeric(20, 6)
        ) as {{ name }},
        {% endfor -%}
        {{ dbt.dateadd('month', 1, 'running.month_start_date') }} <= {{ dbt.dateadd('day', 1, as_of_date()) }}
            as is_complete,
        running.month_start_date
    from running
    cross join overall

)

select * from final
